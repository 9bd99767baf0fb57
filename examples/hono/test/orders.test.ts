import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import postgres, { type TransactionSql } from 'postgres'
import { recorder } from 'waybill/testing'
import { payOrder, placeOrder } from '../src/orders.js'
import { topics } from '../src/topics.js'

const sql = postgres(process.env.DATABASE_URL ?? '')
after(() => sql.end())

class RolledBack extends Error {}

/** In a transaction that leaves nothing behind. */
async function inTransaction(work: (tx: TransactionSql) => Promise<void>): Promise<void> {
  const rolledBack = sql.begin(async (tx) => {
    await work(tx)
    throw new RolledBack()
  })
  await assert.rejects(rolledBack, RolledBack)
}

test('an order and its payment are published with its key, in its own transaction', () =>
  inTransaction(async (tx) => {
    const recorded = await recorder({ tx, topics })
    const orderId = await placeOrder(tx, 'Ada', 1999)
    await recorded.assertPublished('order.created', { key: orderId, payload: { orderId, customer: 'Ada' } })
    await recorded.refutePublished('order.paid')
    await payOrder(tx, orderId, 1999)
    await recorded.assertPublished('order.paid', { key: orderId, payload: { orderId, cents: 1999 } })
  }))
