import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import * as esmInbox from '../../src/inbox/index.js'
import * as esm from '../../src/index.js'
import type * as esmReceiver from '../../src/receiver/index.js'
import * as esmTesting from '../../src/testing/index.js'
import { useDatabase } from '../support/database.js'
import { withClient } from '../support/with-client.js'
import { ensureBuilt, root } from './built.js'

type Targets = Readonly<Record<'types' | 'default', string>>
interface Entry {
  readonly import: Targets
  readonly require: Targets
}

const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  readonly name: string
  readonly exports: Readonly<Record<string, string | Targets | Entry>>
}
const specifier = (path: string): string => manifest.name + path.slice(1)
const entries = Object.entries(manifest.exports).filter(
  (entry): entry is [string, Entry] => typeof entry[1] === 'object' && 'require' in entry[1],
)
const esmOnly = Object.entries(manifest.exports).flatMap(([path, entry]) =>
  typeof entry === 'object' && !('require' in entry) ? [path] : [],
)
const nestjs = specifier('./nestjs')
const require = createRequire(import.meta.url)

beforeAll(ensureBuilt, 300_000)

/** What a CommonJS program prints as JSON, in a process of its own. */
async function printedBy(code: string, ...flags: string[]): Promise<unknown> {
  const args = [...flags, '--input-type=commonjs', '--eval', code]
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '' },
  })
  return JSON.parse(stdout)
}

describe('the package, by require', () => {
  it.each(entries)('%s gives what import gives', async (path, entry) => {
    const imported = (await import(pathToFileURL(join(root, entry.import.default)).href)) as object
    const required = require(specifier(path)) as object
    expect(require.resolve(specifier(path))).toBe(join(root, entry.require.default))
    expect(Object.keys(required).sort()).toEqual(Object.keys(imported).sort())
  })

  // as in Jest, whose module system can't require ES modules
  it('reaches no ES module', async () => {
    const names = entries.map(([path]) => specifier(path)).filter((name) => name !== nestjs)
    const code = `for (const name of ${JSON.stringify(names)}) require(name)
console.log(JSON.stringify(Object.keys(require.cache)))`
    const files = (await printedBy(code, '--no-experimental-require-module')) as string[]
    expect(files).toContain(join(root, 'dist/testing/deliver-now.cjs'))
  })

  it('reaches none for NestJS but NestJS 12 itself', async () => {
    const code = `const { WaybillModule } = require(${JSON.stringify(nestjs)})
WaybillModule.forRoot({ connectionString: 'postgres://127.0.0.1:1/none' })
console.log(JSON.stringify(Object.keys(require.cache)))`
    const files = ((await printedBy(code)) as string[]).map((file) => relative(root, file))
    const own = files.filter((file) => !file.startsWith('node_modules/'))
    expect(own).toContain('dist/nestjs/tokens.cjs')
    expect(own.filter((file) => !/^dist\/.*\.cjs$/.test(file))).toEqual([])
  })

  it('loads for publishing nothing but its own modules', async () => {
    const code = `const { Queue } = require(${JSON.stringify(manifest.name)})
new Queue({ connectionString: 'postgres://127.0.0.1:1/none' })
console.log(JSON.stringify(Object.keys(require.cache)))`
    const files = ((await printedBy(code)) as string[]).map((file) => relative(root, file))
    const own =
      /^dist\/(index|(core|queue-facade|transactions|outbox\/publish|config\/did-you-mean|bundled\/uuid)[/.\w-]*)\.cjs$/
    expect(files).toContain('dist/index.cjs')
    expect(files.filter((file) => !own.test(file))).toEqual([])
  })

  it.each(esmOnly)('%s is an ES module, which Node.js requires by itself', async (path) => {
    const code = `console.log(JSON.stringify(Object.keys(require(${JSON.stringify(specifier(path))}))))`
    expect(await printedBy(code)).not.toEqual([])
  })
})

describe('the types, in a CommonJS program', () => {
  const options = { target: 'es2022', strict: true, skipLibCheck: true, noEmit: true, types: ['node'] }
  const settings = [
    { module: 'commonjs', moduleResolution: 'node10', ignoreDeprecations: '6.0' },
    { module: 'nodenext' },
    { module: 'preserve', moduleResolution: 'bundler' },
  ]

  it.each(settings)(
    'are found in every entry: $module, $moduleResolution',
    async (setting) => {
      const folder = await mkdtemp(join(tmpdir(), 'waybill-types-'))
      onTestFinished(() => rm(folder, { recursive: true }))
      await mkdir(join(folder, 'node_modules'))
      await symlink(root, join(folder, 'node_modules', manifest.name))
      await symlink(join(root, 'node_modules/@types'), join(folder, 'node_modules/@types'))
      const names = Object.keys(manifest.exports).filter((path) => path !== './package.json')
      const imports = names.map(
        (path, n) => `import * as m${n} from '${specifier(path)}'\nexport const x${n}: typeof m${n} = m${n}`,
      )
      await writeFile(join(folder, 'program.ts'), imports.join('\n'))
      await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: { ...options, ...setting } }))
      const tsc = join(root, 'node_modules/typescript/bin/tsc')
      const { stdout } = await promisify(execFile)(process.execPath, [tsc, '-p', folder]).catch(
        (error: unknown) => error as { stdout: string },
      )
      expect(stdout).toBe('')
    },
    120_000,
  )
})

describe('both copies in one process', () => {
  const database = useDatabase()
  let cjs: typeof esm
  let cjsTesting: typeof esmTesting

  beforeAll(() => {
    cjs = require('waybill') as typeof esm
    cjsTesting = require('waybill/testing') as typeof esmTesting
    expect(cjs.Queue).not.toBe(esm.Queue)
  })

  const pairs = () => [
    { publishing: esm, testing: cjsTesting },
    { publishing: cjs, testing: esmTesting },
  ]

  it('one records, asserts and matches what the other publishes', async () => {
    for (const { publishing, testing } of pairs()) {
      await withClient(database().url, async (tx) => {
        await tx.query('begin')
        const topics = publishing.defineTopics(['order.created'])
        const recorded = await testing.recorder({ tx, topics })
        const other = testing === esmTesting ? cjsTesting : esmTesting
        await new publishing.Queue({ topics }).publish('order.created', publishing.rawJson('{"n": 1.0}'), { tx })
        const exact = { payload: publishing.rawJson('{"n": 1.0}') }
        expect(await recorded.assertPublished('order.created', exact)).toMatchObject({ payloadText: '{"n": 1.0}' })
        expect(await other.waybillMatchers.toHavePublished(recorded, 'order.created', exact)).toMatchObject({
          pass: true,
        })
        // the recorder's topics are known to the other copy too
        await expect(other.waybillMatchers.toHavePublished(recorded, 'order.craeted')).rejects.toMatchObject({
          code: 'WAYBILL_UNKNOWN_TOPIC',
        })
        await tx.query('rollback')
      })
    }
  })

  it('one takes topics and raw JSON of the other', async () => {
    for (const { publishing } of pairs()) {
      const other = publishing === esm ? cjs : esm
      const queue = new publishing.Queue({ topics: other.defineTopics(['order.created']) })
      await withClient(database().url, async (tx) => {
        await tx.query('begin')
        const id = await queue.publish('order.created', other.rawJson('{"n": 1.0}'), { tx })
        const stored = await tx.query('select payload::text from waybill.messages where id = $1', [id])
        expect(stored.rows).toEqual([{ payload: '{"n": 1.0}' }])
        await tx.query('rollback')
      })
    }
  })

  it('both publish on one connection at once', async () => {
    await withClient(database().url, async (tx) => {
      await tx.query('begin')
      const [even, odd] = [new esm.Queue(), new cjs.Queue()]
      const slow = tx.query('select pg_sleep(0.05)')
      await Promise.all(
        Array.from({ length: 40 }, (_, n) => (n % 2 === 0 ? even : odd).publish('order.created', n, { tx })),
      )
      await slow
      const { rows } = await tx.query<{ n: number }>(
        'select payload::text::int as n from waybill.messages where xid = pg_current_xact_id() order by seq',
      )
      for (const first of [0, 1]) {
        const own = rows.map(({ n }) => n).filter((n) => n % 2 === first)
        expect(own).toEqual(Array.from({ length: 20 }, (_, n) => 2 * n + first))
      }
      await tx.query('rollback')
    })
  })

  it('one delivers what the other publishes', async () => {
    for (const [name, { publishing, testing }] of Object.entries(pairs())) {
      const queue = new publishing.Queue({ pool: database().pool })
      const id = await queue.publish('order.created', { name }, { tx: null })
      const { audit } = await testing.deliverNow({ pool: database().pool, destinations: { audit: () => undefined } })
      expect(audit.delivered.map((message) => message.id)).toContain(id)
    }
  })

  it('errors of one are known to the other by their brand', async () => {
    const receiver = require('waybill/receiver') as typeof esmReceiver
    const inbox = require('waybill/inbox') as typeof esmInbox
    const thrown = await Promise.all([
      thrownBy(() => new cjs.Queue().publish('order.created', 1, {} as never)),
      thrownBy(async () => new inbox.Inbox({ consumer: '' })),
      thrownBy(async () => receiver.verifyWebhook({ headers: {}, rawBody: '', secrets: 'whsec_c2VjcmV0' })),
    ])
    const codes = ['WAYBILL_TX_REQUIRED', 'WAYBILL_INBOX_INVALID', 'WAYBILL_WEBHOOK_HEADER_MISSING']
    for (const [n, error] of thrown.entries()) {
      expect(error).not.toBeInstanceOf(esm.WaybillError)
      expect(error).toBeInstanceOf(cjs.WaybillError)
      expect(esm.WaybillError.isInstance(error)).toBe(true)
      expect(esmInbox.WaybillError.isInstance(error)).toBe(true)
      expect(error).toMatchObject({ code: codes[n] })
    }
    expect(thrown[2]).toBeInstanceOf(receiver.WebhookError)
    expect(thrown[2]).toMatchObject({ status: 400 })
  })
})

async function thrownBy(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}
