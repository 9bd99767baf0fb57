import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadConfig } from '../../src/config/index.js'
import { InputError, WaybillError } from '../../src/core/errors.js'

const environment = { WAYBILL_DATABASE_URL: 'postgres://waybill:pw@db/shop' }

let cwd: string
beforeEach(async () => {
  cwd = await mkdtemp(join(tmpdir(), 'waybill-config-'))
})
afterEach(() => rm(cwd, { recursive: true }))

const write = (name: string, text: string): Promise<void> => writeFile(join(cwd, name), text)

async function failure(promise: Promise<unknown>): Promise<WaybillError> {
  const error: unknown = await promise.then(
    () => new Error('it was accepted'),
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(WaybillError)
  return error as WaybillError
}

const typescript = `
import { defineConfig, env, jobs, type WaybillConfig } from 'waybill/config'
enum Queue { Mail = 'mail' }
const config: WaybillConfig = defineConfig({
  database: { url: env('MY_DATABASE') },
  destinations: { work: jobs({ queue: Queue.Mail }) },
  routes: { 'mail.*': 'work' },
})
`
const javascript = `
import { defineConfig, jobs } from 'waybill/config'
const config = defineConfig({ destinations: { work: jobs({ queue: 'mail' }) }, routes: { 'mail.*': 'work' } })
`
const json = '{"destinations":{"work":{"kind":"jobs","options":{"queue":"mail"}}},"routes":{"mail.*":"work"}}'

describe('loadConfig', () => {
  it.each([
    ['waybill.config.ts', `${typescript}export default config`],
    ['waybill.config.mts', `${typescript}export { config }`],
    ['waybill.config.mjs', `${javascript}export default config`],
    ['waybill.config.js', `${javascript}export { config }`],
    ['waybill.config.json', json],
  ])('reads %s from the working directory', async (name, text) => {
    await write(name, text)
    const config = await loadConfig({ cwd, environment: { ...environment, MY_DATABASE: 'postgres://mine/shop' } })
    expect(config.destinations).toMatchObject([{ name: 'work', kind: 'jobs', settings: { queue: 'mail' } }])
    expect(config.routes).toEqual([{ pattern: 'mail.*', destinations: ['work'] }])
  })

  it('reads CommonJS, and modules beside the file', async () => {
    await mkdir(join(cwd, 'parts'))
    await write('parts/routes.ts', `export const routes: Record<string, 'work'> = { 'from.part': 'work' }`)
    await write(
      'waybill.config.ts',
      `import { jobs } from 'waybill/config'\nimport { routes } from './parts/routes'\nexport default { destinations: { work: jobs() }, routes }`,
    )
    expect((await loadConfig({ cwd, environment })).routes[0]?.pattern).toBe('from.part')
    await write(
      'other.cjs',
      `const { jobs } = require('waybill/config')\nmodule.exports = { config: { destinations: { work: jobs() }, routes: { common: 'work' } } }`,
    )
    expect((await loadConfig({ cwd, environment, file: 'other.cjs' })).routes[0]?.pattern).toBe('common')
  })

  it('prefers the file that is named, then WAYBILL_CONFIG, then the usual names', async () => {
    const logging = (level: string): string => JSON.stringify({ log: { level } })
    await write('named.json', logging('error'))
    await write('variable.json', logging('warn'))
    await write('waybill.config.json', logging('debug'))
    const withVariable = { ...environment, WAYBILL_CONFIG: 'variable.json' }
    expect((await loadConfig({ cwd, environment: withVariable, file: 'named.json' })).log.level).toBe('error')
    expect((await loadConfig({ cwd, environment: withVariable })).log.level).toBe('warn')
    expect((await loadConfig({ cwd, environment: { ...environment, WAYBILL_CONFIG: '' } })).log.level).toBe('debug')
  })

  it('lets a file use top-level await and know its own place', async () => {
    await write('limits.json', '{"maxPayloadBytes":77}')
    await write(
      'waybill.config.ts',
      `import { readFile } from 'node:fs/promises'
       const publish = JSON.parse(await readFile(new URL('./limits.json', import.meta.url), 'utf8'))
       export default { publish }`,
    )
    expect((await loadConfig({ cwd, environment })).publish.maxPayloadBytes).toBe(77)
  })

  it('reads a changed file anew', async () => {
    await write('waybill.config.mjs', `export default { generation: 1 }`)
    expect((await loadConfig({ cwd, environment })).generation).toBe(1)
    await write('waybill.config.mjs', `export default { generation: 2 }`)
    expect((await loadConfig({ cwd, environment })).generation).toBe(2)
  })

  it('needs no file where the environment names a database', async () => {
    expect((await loadConfig({ cwd, environment })).database.url.reveal()).toBe(environment.WAYBILL_DATABASE_URL)
    const given = await loadConfig({ cwd, environment: {}, databaseUrl: 'postgres://given/shop' })
    expect(given.database.url.reveal()).toBe('postgres://given/shop')
  })

  it('lets databaseUrl take the place of both URLs', async () => {
    await write(
      'waybill.config.json',
      '{"database":{"url":"postgres://file/shop","directUrl":"postgres://direct/shop"}}',
    )
    const { database } = await loadConfig({ cwd, environment, databaseUrl: 'postgres://given/shop' })
    expect([database.url.reveal(), database.directUrl?.reveal()]).toEqual([
      'postgres://given/shop',
      'postgres://given/shop',
    ])
  })

  it('names what it looked for when there is nothing', async () => {
    const error = await failure(loadConfig({ cwd, environment: {} }))
    expect(error.code).toBe('WAYBILL_CONFIG_NOT_FOUND')
    for (const word of [cwd, 'waybill.config.ts', 'waybill.config.json', 'WAYBILL_CONFIG', 'WAYBILL_DATABASE_URL']) {
      expect(error.message).toContain(word)
    }
  })

  it.each([
    ['as an option', { file: 'missing.ts' }, {}],
    ['by WAYBILL_CONFIG', {}, { WAYBILL_CONFIG: 'missing.ts' }],
  ])('refuses a missing file that is named %s, whatever else is there', async (_how, options, variables) => {
    await write('waybill.config.json', '{}')
    const error = await failure(loadConfig({ cwd, environment: { ...environment, ...variables }, ...options }))
    expect(error.code).toBe('WAYBILL_CONFIG_NOT_FOUND')
    expect(error.message).toContain(join(cwd, 'missing.ts'))
  })

  it.each([
    ['JSON that is none', 'a.json', '{"database": {"url": "postgres://u:hunter2@db/x" oops', 'is not valid JSON'],
    ['a file that exports nothing', 'a.mjs', 'export const other = 1', 'exports no configuration'],
    ['a function', 'a.mjs', 'export default () => ({})', 'not a function or a promise'],
    ['a module that is missing', 'a.mjs', `import './nowhere.mjs'`, 'cannot be loaded'],
    ['a file that throws', 'a.ts', `throw new Error('on purpose')`, 'on purpose'],
    ['a syntax error', 'a.ts', `export default { url: 'postgres://u:hunter2@db/x' oops }`, 'cannot be loaded'],
  ])('refuses %s and names the file', async (_what, name, text, message) => {
    await write(name, text)
    const error = await failure(loadConfig({ cwd, environment, file: name }))
    expect(error).toBeInstanceOf(InputError)
    expect(error.code).toBe('WAYBILL_CONFIG_INVALID')
    expect((error as InputError).problems).toHaveLength(1)
    expect((error as InputError).problems[0]?.path).toBe(join(cwd, name))
    expect(error.message).toContain(message)
    expect(error.message).not.toContain('hunter2')
  })

  it('refuses a directory', async () => {
    await mkdir(join(cwd, 'folder.json'))
    expect((await failure(loadConfig({ cwd, environment, file: 'folder.json' }))).message).toContain('cannot be read')
  })
})
