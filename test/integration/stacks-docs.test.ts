import * as mikroOrm from '@mikro-orm/postgresql'
import * as drizzle from 'drizzle-orm/node-postgres'
import * as drizzlePg from 'drizzle-orm/pg-core'
import express from 'express'
import fastify from 'fastify'
import * as hono from 'hono'
import { readdir, readFile } from 'node:fs/promises'
import * as crypto from 'node:crypto'
import { join } from 'node:path'
import knex from 'knex'
import * as kysely from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import * as sequelize from 'sequelize'
import * as typeorm from 'typeorm'
import * as vitest from 'vitest'
import { afterAll, describe, expect, it, vi } from 'vitest'
import * as zod from 'zod'
import { shownVersions, testedVersions } from '../../scripts/tested-versions.js'
import * as waybillFastify from '../../src/fastify/index.js'
import * as inbox from '../../src/inbox/index.js'
import * as waybill from '../../src/index.js'
import * as receiver from '../../src/receiver/index.js'
import * as testing from '../../src/testing/index.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { blocksOf, compileErrors, type PageModules, runAsyncModule, valueOf } from '../support/docs-code.js'

const docs = join(import.meta.dirname, '../../docs')
const libraries: PageModules = {
  '@mikro-orm/postgresql': mikroOrm,
  'drizzle-orm/node-postgres': drizzle,
  'drizzle-orm/pg-core': drizzlePg,
  express: { default: express },
  fastify: { default: fastify },
  hono,
  knex: { default: knex },
  kysely,
  'node:crypto': crypto,
  pg: { default: pg },
  postgres: { default: postgres },
  sequelize,
  typeorm,
  vitest,
  zod,
  waybill,
  'waybill/fastify': waybillFastify,
  'waybill/inbox': inbox,
  'waybill/receiver': receiver,
  'waybill/testing': testing,
}
const frameworks = ['express', 'fastify', 'hono']
const pages = (await readdir(join(docs, 'stacks'))).flatMap((name) => (name === 'README.md' ? [] : [name.slice(0, -3)]))
const layers = pages.filter((page) => !frameworks.includes(page))
const [topics = ''] = await blocksOf('stacks/README.md', 'ts')
const [createTable = ''] = await blocksOf('stacks/README.md', 'sql')

interface Page {
  readonly database: TestDatabase
  /** What its modules export, all together. */
  readonly exported: Readonly<Record<string, unknown>>
  /** The modules of the application by their file names, and the tests. */
  readonly files: Readonly<Record<string, string>>
  readonly tests: readonly string[]
  readonly modules: PageModules
}

/** Runs the modules of a page on a database of its own. */
async function load(page: string): Promise<Page> {
  const database = await createTestDatabase()
  await database.pool.query(createTable)
  vi.stubEnv('DATABASE_URL', database.url)
  vi.stubEnv('PAYMENTS_SECRET', 'of the payment service')
  vi.stubEnv('ANOTHER_SECRET', 'of somebody else')
  const blocks = await blocksOf(`stacks/${page}.md`, 'ts')
  const named = new Map([['topics.ts', topics]])
  const tests: string[] = []
  for (const code of blocks) {
    const name = /^\/\/ (\S+)\n/.exec(code)?.[1]
    if (name === undefined) tests.push(code)
    else named.set(name, code)
  }
  let modules = libraries
  let exported = {}
  for (const name of ['topics.ts', 'orders.ts', 'app.ts'].filter((file) => named.has(file))) {
    const module = await runAsyncModule(named.get(name) ?? '', modules)
    modules = { ...modules, [`./${name.replace('.ts', '.js')}`]: module }
    exported = { ...exported, ...module }
  }
  return { database, exported, files: Object.fromEntries(named), tests, modules }
}

const loaded = new Map<string, Page>()
// one after another, while the file loads: the blocks make their pools then, and the tests are registered
for (const page of pages) loaded.set(page, await load(page))
afterAll(() => vi.unstubAllEnvs())
const pageOf = (name: string): Page => loaded.get(name) as Page

describe.each(layers)('docs/stacks/%s.md', (name) => {
  const { database, exported } = pageOf(name)
  const takeOrder = exported['takeOrder'] as (id: string, cents: number) => Promise<void>

  it('writes an order and its message in one transaction', async () => {
    await takeOrder('o1', 450)
    const sql = `select o.id, o.cents, m.topic, m.key, m.payload, o.xmin = m.xmin as together
                   from orders o full join waybill.messages m on m.key = o.id`
    const row = { id: 'o1', cents: 450, topic: 'order.created', key: 'o1', payload: { id: 'o1', cents: 450 } }
    expect((await database.pool.query(sql)).rows).toEqual([{ ...row, together: true }])
  })

  it('names what is refused, and what is said of it', async () => {
    const text = await readFile(join(docs, `stacks/${name}.md`), 'utf8')
    const rows = [...(text.split('## Refused')[1]?.split('## ')[0] ?? '').matchAll(/^\| `(.+?)` \| (i.+) \|$/gm)]
    expect(rows.length).toBeGreaterThan(0)
    for (const [, expression = '', said = ''] of rows) {
      const root = await valueOf(expression, exported)
      const call = (exported['queue'] as waybill.Queue).publish(
        'order.created',
        { id: 'x', cents: 1 },
        { tx: root as never },
      )
      await expect(call, expression).rejects.toMatchObject({
        code: 'WAYBILL_TX_INVALID',
        problems: [{ path: 'tx', message: expect.stringContaining(`${said};`) as string }],
      })
      // a connection that was taken out of its pool
      if (expression.startsWith('await ')) await (root as { release(): unknown }).release()
    }
  })

  it('is linked from docs/transactions.md', async () => {
    expect(await readFile(join(docs, 'transactions.md'), 'utf8')).toContain(`(stacks/${name}.md)`)
  })

  // last: it closes what the page opened
  describeTests(name)
})

describe.each(frameworks)('docs/stacks/%s.md', describeTests)

/** What a page shows as tests. */
function describeTests(name: string): void {
  const { tests, modules } = pageOf(name)
  it('has a test', () => expect(tests).toHaveLength(1))
  describe.each(tests)('its test', async (code) => void (await runAsyncModule(code, modules)))
}

it('the code of all pages compiles', () => {
  const code: Record<string, string> = {}
  for (const [name, { files, tests }] of loaded) {
    for (const [file, text] of Object.entries(files)) code[`stacks/${name}/${file}`] = text
    tests.forEach((text, i) => (code[`stacks/${name}/test-${i}.ts`] = text))
  }
  const paths = {
    waybill: ['./src/index.ts'],
    'waybill/fastify': ['./src/fastify/index.ts'],
    'waybill/inbox': ['./src/inbox/index.ts'],
    'waybill/receiver': ['./src/receiver/index.ts'],
    'waybill/testing': ['./src/testing/index.ts'],
  }
  expect(compileErrors(code, paths)).toBe('')
}, 180_000)

it('the table of versions has those that the tests run with', () => {
  expect(shownVersions(), 'run: npx tsx scripts/tested-versions.ts').toBe(testedVersions())
})

it('every page has its place in the list', async () => {
  const list = await readFile(join(docs, 'stacks/README.md'), 'utf8')
  expect(pages.filter((name) => !list.includes(`(${name}.md)`))).toEqual([])
})
