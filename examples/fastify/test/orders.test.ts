import { drizzle } from 'drizzle-orm/node-postgres'
import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { Queue } from 'waybill'
import { waybillMatchers } from 'waybill/testing/vitest'
import { placeOrder, type Tx } from '../src/orders.js'
import { topics } from '../src/topics.js'

expect.extend(waybillMatchers)

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const db = drizzle(pool)
const queue = new Queue({ topics })
afterAll(() => pool.end())

class RolledBack extends Error {}

/** In a transaction that leaves nothing behind. */
async function inTransaction(work: (tx: Tx) => Promise<void>): Promise<void> {
  const rolledBack = db.transaction(async (tx) => {
    await work(tx)
    throw new RolledBack()
  })
  await expect(rolledBack).rejects.toThrow(RolledBack)
}

test('an order is published with its key, in its own transaction', () =>
  inTransaction(async (tx) => {
    const orderId = await placeOrder(tx, queue, 'Ada', 1999)
    await expect(tx).toHavePublished('order.created', { key: orderId, payload: { orderId, customer: 'Ada' } })
    await expect(tx).not.toHavePublished('order.paid')
  }))
