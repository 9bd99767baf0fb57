import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import pg from 'pg'
import { deliverNow, type DeliveredMessage } from 'waybill/testing'
import { createApp } from '../src/app.js'
import { sign } from './sign.js'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const paymentsSecret = `whsec_${Buffer.from('of the payment service').toString('base64')}`
let server: Server
let url: string

before(async () => {
  await new Promise<void>((resolve) => {
    server = createApp({ pool, paymentsSecret }).listen(0, '127.0.0.1', () => resolve())
  })
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
after(async () => {
  await new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  })
  await pool.end()
})

const post = (path: string, body: string, headers: Record<string, string>) =>
  fetch(`${url}${path}`, { method: 'POST', body, headers })

const order = (customer: string, cents: number) =>
  post('/orders', JSON.stringify({ customer, cents }), { 'content-type': 'application/json' })

async function place(): Promise<string> {
  const answer = await order('Ada', 1999)
  assert.equal(answer.status, 201)
  return ((await answer.json()) as { orderId: string }).orderId
}

async function pay(orderId: string, webhookId: string, secret = paymentsSecret): Promise<number> {
  const body = JSON.stringify({ orderId, cents: 1999 })
  return (await post('/hooks/payments', body, sign(secret, webhookId, body))).status
}

/** What the CRM is told of one order, from now on. */
async function toldTheCrm(orderId: string): Promise<string[]> {
  const told: string[] = []
  const crm = ({ topic, key }: DeliveredMessage): void => {
    if (key === orderId) told.push(topic)
  }
  await deliverNow({ pool, destinations: { crm } })
  return told
}

const paymentsOf = async (orderId: string) =>
  (await pool.query('select from payments where order_id = $1', [orderId])).rowCount

test('a webhook that comes twice pays once, and the CRM hears of it in order', async () => {
  const orderId = await place()
  const webhookId = `evt_${randomUUID()}`
  assert.equal(await pay(orderId, webhookId), 204)
  assert.equal(await pay(orderId, webhookId), 204)

  const shown = (await (await fetch(`${url}/orders/${orderId}`)).json()) as { status: string }
  assert.equal(shown.status, 'paid')
  assert.equal(await paymentsOf(orderId), 1)
  assert.deepEqual(await toldTheCrm(orderId), ['order.created', 'order.paid'])
})

test('a webhook that nobody signed changes nothing', async () => {
  const orderId = await place()
  assert.equal(await pay(orderId, `evt_${randomUUID()}`, `whsec_${Buffer.from('another').toString('base64')}`), 401)
  assert.equal(await paymentsOf(orderId), 0)
  assert.deepEqual(await toldTheCrm(orderId), ['order.created'])
})

test('a webhook whose work fails is new when it comes again', async () => {
  const webhookId = `evt_${randomUUID()}`
  assert.equal(await pay(randomUUID(), webhookId), 409)
  const orderId = await place()
  assert.equal(await pay(orderId, webhookId), 204)
  assert.equal(await paymentsOf(orderId), 1)
})

test('a bad order is refused', async () => {
  assert.equal((await order('Ada', 0)).status, 400)
})
