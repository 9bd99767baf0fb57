import pg from 'pg'
import * as vitest from 'vitest'
import { afterAll, describe, expect, it, vi } from 'vitest'
import * as waybill from '../../src/index.js'
import * as testing from '../../src/testing/index.js'
import * as testingVitest from '../../src/testing/vitest.js'
import { createTestDatabase } from '../support/database.js'
import { blocksOf, compileErrors, runModule } from '../support/docs-code.js'

const page = 'testing-your-app.md'
const [application = '', ...tests] = await blocksOf(page, 'ts')

// while the file loads, as the blocks make their clients and pools then
const database = await createTestDatabase()
vi.stubEnv('DATABASE_URL', database.url)
afterAll(() => vi.unstubAllEnvs())

const libraries = { pg: { default: pg }, vitest, waybill, 'waybill/testing': testing }
const modules = { ...libraries, 'waybill/testing/vitest': testingVitest }
const orders = runModule(application, modules)

describe.each(tests.map((code, i) => [i + 1, code] as const))(
  'test %i of the page on testing an application',
  (_, code) => {
    runModule(code, { ...modules, './orders.js': orders })
  },
)

it('the code of the page compiles', () => {
  expect(tests.length).toBe(4)
  const files = Object.fromEntries(tests.map((code, i) => [`test-${i}.ts`, code]))
  const paths = {
    waybill: ['./src/index.ts'],
    'waybill/testing': ['./src/testing/index.ts'],
    'waybill/testing/vitest': ['./src/testing/vitest.ts'],
  }
  expect(compileErrors({ 'orders.ts': application, ...files }, paths)).toBe('')
}, 180_000)

it('the output that the page shows is what a failing assertion says', async () => {
  const [shown] = await blocksOf(page, 'text')
  const client = await database.pool.connect()
  try {
    await client.query('begin')
    const queue = new waybill.Queue()
    const order = { id: 'o1', total: 42 }
    await queue.publish('order.created', order, { tx: client, key: 'o1', headers: { tenant: 'acme' } })
    await queue.publish('order.paid', { id: 'o1' }, { tx: client, key: 'o1' })
    const failing = expect(client).toHavePublished('order.created', { key: 'o1', payload: { total: 43 } })
    await expect(failing).rejects.toMatchObject({ message: shown?.trimEnd() })
  } finally {
    await client.query('rollback')
    client.release()
  }
})
