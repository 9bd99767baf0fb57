import pg from 'pg'
import { expect, it } from 'vitest'
import { useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const database = useDatabase()

it('reads a page once for lanes that stand at the same place', async () => {
  const { url } = database()
  const pool = new pg.Pool({ connectionString: url, max: 8 })
  let pages = 0
  const query = pool.query.bind(pool) as (...args: unknown[]) => unknown
  pool.query = ((...args: unknown[]) => {
    const [config] = args as [{ text?: string }]
    if (config.text?.includes('One page of what became visible')) pages++
    return query(...args)
  }) as typeof pool.query
  const adapters = ['a', 'b', 'c', 'd'].map((name) => ({ name, adapter: new ScriptedAdapter() }))
  const dispatcher = await startDispatcher({
    pool,
    destinations: Object.fromEntries(adapters.map(({ name, adapter }) => [name, { adapter }])),
    pageSize: 100,
  })
  await publish(pool, 'order.created', {})
  await waitFor(() => adapters.every(({ adapter }) => adapter.delivered.length >= 1))
  pages = 0
  await pool.query(`select waybill.publish('order.created', '{}') from generate_series(1, 299)`)
  await waitFor(() => adapters.every(({ adapter }) => adapter.delivered.length >= 300))
  await dispatcher.stop()
  await pool.end()
  // four lanes at the tip, three pages: alone each would have read them all, twelve
  expect(pages).toBeGreaterThan(0)
  expect(pages).toBeLessThanOrEqual(8)
})
