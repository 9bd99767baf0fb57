import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readConfigFile } from '../../src/config/load.js'
import { resolveConfig, webhook } from '../../src/config/index.js'
import { InputError, messageOf } from '../../src/core/errors.js'
import { rawJson } from '../../src/queue-facade/raw-json.js'
import { validate } from '../../src/queue-facade/validate.js'
import { createWebhookVerifier } from '../../src/receiver/index.js'

let directory: string
beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'waybill-wrong-'))))
afterAll(() => rm(directory, { recursive: true }))

async function file(name: string, text: string): Promise<string> {
  const path = join(directory, name)
  await writeFile(path, text)
  return path
}

describe('a configuration file', () => {
  it('in JSON may have a byte-order mark', async () => {
    expect(await readConfigFile(await file('bom.json', '\uFEFF{"routes":{}}'))).toEqual({ routes: {} })
  })

  it.each([
    ['{\n "a": 1,\n  x }', 'line 3, column 3'],
    ['{\n "a": "s3cret', 'line 2, column 14'],
    ['', 'it ends too early: line 1, column 1'],
  ])('that is no JSON says where (%#)', async (text, place) => {
    const said = await readConfigFile(await file('wrong.json', text)).catch(messageOf)
    expect(said).toContain(`is not valid JSON (${place})`)
    expect(said).not.toContain('s3cret')
  })

  it('that throws what has no text is told without one', async () => {
    const path = await file('bare.config.mjs', 'throw Object.create(null)')
    expect(await readConfigFile(path).catch(messageOf)).toContain('cannot be loaded: an error that has no text')
  })
})

describe('a configuration', () => {
  it('that refers to itself, or is 100,000 levels deep, is refused', () => {
    const circular: Record<string, unknown> = {}
    circular['destinations'] = { a: circular }
    let deep: object = {}
    for (let i = 0; i < 100_000; i++) deep = { a: deep }
    for (const raw of [circular, deep])
      expect(() => resolveConfig(raw, {})).toThrow(/refers to itself, or is nested deeper than 100 levels/)
  })

  it('whose getters throw is refused', () => {
    const raw = {
      get database(): never {
        throw new Error('lazy')
      },
    }
    expect(() => resolveConfig(raw, {})).toThrow(/can't be read: lazy/)
  })
})

const key = 'MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

describe('a signing secret', () => {
  const warningsOf = (secret: string): string[] =>
    resolveConfig(
      {
        database: { url: 'postgres://a/b' },
        destinations: { crm: webhook({ url: 'https://crm.example/', secrets: [secret] }) },
        routes: { a: 'crm' },
      },
      {},
    ).warnings.map(({ message }) => message)

  it.each([
    [`v1,whsec_${key}`, /begins with a version/],
    [`"whsec_${key}"`, /quotes/],
    [`“whsec_${key}”`, /quotes/],
    [`WHSEC_${key}`, /capitals/],
    [`HOOK_SECRET=whsec_${key}`, /name of a variable/],
    [`whsec_${key} `, /white space|whsec_/],
    [' text', /white space/],
  ])('in another form is refused by both sides (%#)', (secret, why) => {
    expect(() => warningsOf(secret)).toThrow(why)
    expect(() => createWebhookVerifier({ secrets: secret })).toThrow(why)
    for (const refuse of [() => warningsOf(secret), () => createWebhookVerifier({ secrets: secret })])
      expect(refuse).not.toThrow(key)
  })

  it('in base64 without its prefix is warned of', () => {
    expect(warningsOf(key)).toMatchObject([/looks like a key in base64 without its prefix/])
    for (const plain of [`whsec_${key}`, 'a plain text that is long enough', 'correcthorsebatterystaple1234567'])
      expect(warningsOf(plain)).toEqual([])
  })

  it('has no line breaks at its end', () => {
    expect(warningsOf(`whsec_${key}\r\n`)).toEqual([])
    expect(() => createWebhookVerifier({ secrets: `whsec_${key}\n` })).not.toThrow()
  })
})

describe('a receiver', () => {
  it('with a tolerance that is none is refused by name', () => {
    expect(() => createWebhookVerifier({ secrets: key, tolerance: null as never })).toThrow(/^tolerance: null is not/)
  })
})

describe('rawJson', () => {
  it('is nested no deeper than other payloads', () => {
    const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
    expect(() => rawJson(nested(1000))).not.toThrow()
    expect(() => rawJson(nested(1001))).toThrow(/nested deeper than 1000 levels/)
    expect(() => rawJson(`${'{"a":'.repeat(1001)}1${'}'.repeat(1001)}`)).toThrow(/nested deeper/)
    expect(() => rawJson(JSON.stringify(['[{"\\'.repeat(3000)]))).not.toThrow()
  })
})

describe('a schema that is no Standard Schema', () => {
  const given = (result: unknown) => () =>
    validate({ '~standard': { version: 1, vendor: 'x', validate: () => result } } as never, 1, 'a.b', ['payload'])

  it.each([undefined, null, 1, 'text', { issues: true }, { issues: null }])('giving %j is told', (result) => {
    expect(given(result)).toThrow(InputError)
    expect(given(result)).toThrow(/the schema is no Standard Schema.*topics\["a\.b"\]: its validate gave/s)
  })

  it.each([[[null]], [[{ path: [null], message: 1 }]], [[{ path: [{}, { key: 'k' }, 0] }]], [[{ path: 'x' }]]])(
    'with issues that are none is a refusal like others (%j)',
    (issues) => {
      expect(given({ issues })).toThrow(/the payload does not fit/)
    },
  )

  it('gives its value', () => expect(given({ value: 7 })()).toEqual({ value: 7 }))
})
