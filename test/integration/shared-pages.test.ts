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
  const delivered = (count: number): Promise<unknown> =>
    waitFor(() => adapters.every(({ adapter }) => adapter.delivered.length >= count))
  await publish(pool, 'order.created', {})
  await delivered(1)
  let published = 1
  // four lanes, three pages: alone each reads them all, twelve. Lanes that have seen different ticks share from the next on
  await waitFor(
    async () => {
      pages = 0
      await pool.query(`select waybill.publish('order.created', '{}') from generate_series(1, 299)`)
      await delivered((published += 299))
      expect(pages).toBeGreaterThanOrEqual(3)
      return pages <= 8
    },
    { what: 'pages that are read once' },
  )
  await dispatcher.stop()
  await pool.end()
})
