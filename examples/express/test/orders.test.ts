import pg from 'pg'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { recorder } from 'waybill/testing'
import { payOrder, placeOrder } from '../src/orders.js'
import { topics } from '../src/topics.js'

const tx = new pg.Client({ connectionString: process.env.DATABASE_URL })
before(() => tx.connect())
beforeEach(() => tx.query('begin'))
afterEach(() => tx.query('rollback'))
after(() => tx.end())

test('an order is published with its key, in its own transaction', async () => {
  const recorded = await recorder({ tx, topics })
  const orderId = await placeOrder(tx, 'Ada', 1999)
  await recorded.assertPublished('order.created', { key: orderId, payload: { orderId, customer: 'Ada', cents: 1999 } })
  await recorded.refutePublished('order.paid')
})

test('so is its payment', async () => {
  const orderId = await placeOrder(tx, 'Ada', 1999)
  const recorded = await recorder({ tx, topics })
  await payOrder(tx, orderId, 1999)
  await recorded.assertPublished('order.paid', { key: orderId, payload: { orderId, cents: 1999 } })
})
