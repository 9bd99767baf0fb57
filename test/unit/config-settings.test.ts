import { describe, expect, it } from 'vitest'
import { env, resolveConfig, webhook } from '../../src/config/index.js'
import { resolveSettings } from '../../src/config/settings.js'
import { InputError } from '../../src/core/errors.js'

const environment = { WAYBILL_DATABASE_URL: 'postgres://waybill:pw@db/shop', WAYBILL_RETENTION: '2d' }

function problems(work: () => unknown): string[] {
  try {
    work()
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    expect(error.code).toBe('WAYBILL_CONFIG_INVALID')
    return error.problems.map(({ path, message }) => `${path}: ${message}`)
  }
  throw new Error('it was accepted')
}

/** Wrong wherever it can be, but for `database` and `retention`. */
const broken = {
  destinations: {
    crm: webhook({ url: 'https://crm.example', secrets: [env('CRM_SECRET')] }),
    bus: { kind: 'carrier' },
  },
  routes: { 'order.*': 'nobody' },
  dispatcher: { leaseMs: 1 },
  publish: 7,
  log: { level: 'loud' },
  generation: 0,
}

describe('resolveSettings', () => {
  it('gives what is asked for, with defaults and variables, whatever is wrong elsewhere', () => {
    expect(problems(() => resolveConfig(broken, environment)).length).toBeGreaterThanOrEqual(7)
    const { database, retention, maxHold } = resolveSettings(broken, environment, ['database', 'retention', 'maxHold'])
    expect(database.url.reveal()).toBe(environment.WAYBILL_DATABASE_URL)
    expect({ poolSize: database.poolSize, retention, maxHold }).toEqual({
      poolSize: 10,
      retention: 172_800_000,
      maxHold: undefined,
    })
  })

  it('gives what resolveConfig gives', () => {
    const raw = { dispatcher: { pageSize: 7, durability: { replicated: 'second' } } }
    const all = resolveConfig(raw, environment)
    const some = resolveSettings(raw, environment, ['dispatcher', 'retention', 'publish', 'log', 'generation'])
    const { dispatcher, publish, log, generation, retentionMs } = all
    expect(some).toEqual({
      ...{ dispatcher: { ...dispatcher }, publish, log, retention: retentionMs },
      ...(generation !== undefined && { generation }),
    })
  })

  it('tells every problem of what is asked for, and none of the rest', () => {
    expect(problems(() => resolveSettings(broken, environment, ['dispatcher', 'log']))).toEqual([
      'dispatcher.leaseMs: must be a whole number from 1000 to 60000',
      'log.level: must be "debug" or "info" or "warn" or "error" or "silent"',
    ])
    expect(
      problems(() =>
        resolveSettings({}, { WAYBILL_DATABASE_URL: 'postgres://x', WAYBILL_POOL_SIZE: 'x' }, ['database']),
      ),
    ).toEqual(['database.poolSize: must be a whole number from 1 to 500 (from WAYBILL_POOL_SIZE)'])
  })

  it('tells of a section that is there under a misspelt name, and does not take its default', () => {
    expect(problems(() => resolveSettings({ retenton: '30d' }, {}, ['retention']))).toEqual([
      'retenton: is not a known key; did you mean "retention"?',
    ])
    expect(problems(() => resolveSettings({ databse: { url: 'postgres://db' } }, {}, ['database']))).toEqual([
      expect.stringMatching(/^database.url: is not set/),
      'databse: is not a known key; did you mean "database"?',
    ])
  })

  it.each([null, 7, 'text', []])('refuses %j, which is no configuration', (raw) => {
    expect(problems(() => resolveSettings(raw, environment, ['log']))).toEqual([
      expect.stringMatching(/^: must be an object, not /),
    ])
  })
})
