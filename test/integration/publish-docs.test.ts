import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { blocksOf, compileErrors } from '../support/docs-code.js'
import { logged } from './publish-fixture.js'

const root = join(import.meta.dirname, '../..')
const database = useDatabase()
/** What the pages import that is not there: the package by its name, and a client that Prisma generates. */
const paths = {
  waybill: ['./src/index.ts'],
  'waybill/prisma': ['./src/queue-facade/prisma.ts'],
  'waybill/config': ['./src/config/index.ts'],
  'waybill/dispatcher': ['./src/app/index.ts'],
  'waybill/fastify': ['./src/fastify/index.ts'],
  'waybill/receiver': ['./src/receiver/index.ts'],
  'waybill/testing': ['./src/testing/index.ts'],
  'waybill/receiver/*': ['./src/receiver/*.ts'],
}
const generated = 'examples/orders/generated/client'

it('the code in the pages on publishing, receiving and dispatching in process compiles', async () => {
  if (!existsSync(join(root, `${generated}.ts`))) {
    await promisify(execFile)(process.execPath, [join(root, 'scripts/generate.mjs')])
  }
  const code: Record<string, string> = { 'generated/client.ts': `export * from '../../${generated}.js'` }
  for (const [page, least] of [
    ['publishing.md', 4],
    ['prisma.md', 4],
    ['receiving.md', 4],
    ['in-process.md', 2],
  ] as const) {
    const found = await blocksOf(page, 'ts')
    expect(found.length, page).toBeGreaterThanOrEqual(least)
    found.forEach((text, i) => (code[`${page.replace('.md', '')}-${i}.ts`] = text))
  }
  expect(compileErrors(code, paths)).toBe('')
}, 180_000)

it('the SQL in docs/publishing.md publishes', async () => {
  await database().pool.query('create table if not exists orders (id int primary key)')
  for (const sql of await blocksOf('publishing.md', 'sql')) await database().pool.query(sql)
  expect(await logged(database(), 'order.created')).toMatchObject([
    { key: 'o1', payload: '{"id":"o1"}', headers: '{"tenant":"acme"}' },
  ])
})
