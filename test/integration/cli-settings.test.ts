import { describe, expect, it } from 'vitest'
import type { Finding } from '../../src/app/doctor/index.js'
import { useDatabase } from '../support/database.js'
import { cli, configDirectory, errorOf } from './cli-fixture.js'

const database = useDatabase()
const nobody = '01976d2e-0000-7000-8000-000000000000'

/** Where dispatchers run its secret is set; here it is not. And somebody was careless. */
const lacking = {
  destinations: {
    crm: { kind: 'webhook', options: { url: 'https://crm.example', secrets: [{ $env: 'CRM_SECRET' }] } },
    bus: { kind: 'carrier-pigeon' },
  },
  routes: { 'order.*': ['crm', 'lake'] },
  log: { level: 'loud' },
}
const wrong = ['destinations.bus.kind', 'destinations.crm.options.secrets[0]', 'log.level', 'routes["order.*"]']

async function stage(config: object = lacking) {
  return { cwd: await configDirectory(config), env: { WAYBILL_DATABASE_URL: database().url, USER: 'tester' } }
}

describe('a command that needs no destination', () => {
  it.each([
    ['status', 0],
    ['undelivered', 0],
    ['destinations', 0],
    ['retry --all', 0],
    ['drop --all --reason test', 0],
    ['migrate', 0],
    ['migrate --check', 0],
    ['migrate --sql', 0],
    ['maintain', 0],
    ['publish order.created --payload 1', 0],
    [`show ${nobody}`, 'WAYBILL_NOT_FOUND'],
    [`cancel ${nobody}`, 'WAYBILL_NOT_FOUND'],
    ['destinations remove crm', 'WAYBILL_NOT_FOUND'],
  ])('does not mind that one is wrong: %s', async (command, expected) => {
    const result = await cli([...command.split(' '), '--json'], await stage())
    if (expected === 0) expect(result).toMatchObject({ code: 0, stderr: '' })
    else expect(errorOf(result).code).toBe(expected)
  })

  it('minds what it does need', async () => {
    const at = await stage({ ...lacking, database: { poolSize: 0 }, retention: 'long' })
    const told = async (command: string) =>
      errorOf(await cli([command, '--json'], at)).problems?.map(({ path }) => path)
    expect(await told('status')).toEqual(['database.poolSize'])
    expect(await told('maintain')).toEqual(['retention'])
  })

  it('takes the whole file for the database alone with --database-url', async () => {
    const at = await stage({ ...lacking, database: { url: 7 } })
    const { code } = await cli(['status', '--database-url', database().url], at)
    expect(code).toBe(0)
  })
})

describe('doctor', () => {
  it('looks, and says what a dispatcher would not start with', async () => {
    const { code, stdout, stderr } = await cli(['doctor', '--json'], await stage())
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const found = (JSON.parse(stdout) as Finding[]).filter(({ check }) => check === 'configuration')
    expect(found.map(({ level, what }) => `${level} ${what.split(': ')[0] ?? ''}`).sort()).toEqual(
      wrong.map((path) => `warn ${path}`),
    )
  })
})

describe('a command that needs the destinations', () => {
  it.each(['config', 'dispatch'])('tells every problem at once: %s', async (command) => {
    const result = await cli([command, '--json'], await stage())
    expect(result).toMatchObject({ code: 1, stdout: '' })
    const { code, problems = [] } = errorOf(result)
    expect(code).toBe('WAYBILL_CONFIG_INVALID')
    expect(problems.map(({ path }) => path).sort()).toEqual(wrong)
  })
})
