import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, test } from 'node:test'
import postgres from 'postgres'
import { deliverNow, type DeliveredMessage } from 'waybill/testing'
import { createApp } from '../src/app.js'
import { sign } from './sign.js'

const connectionString = process.env.DATABASE_URL ?? ''
const sql = postgres(connectionString)
const paymentsSecret = `whsec_${Buffer.from('of the payment service').toString('base64')}`
const app = createApp({ sql, paymentsSecret })
after(() => sql.end())

const order = (customer: string, cents: number) =>
  app.request('/orders', { method: 'POST', body: JSON.stringify({ customer, cents }) })

async function place(): Promise<string> {
  const answer = await order('Ada', 1999)
  assert.equal(answer.status, 201)
  return ((await answer.json()) as { orderId: string }).orderId
}

async function pay(orderId: string, webhookId: string, secret = paymentsSecret): Promise<number> {
  const body = JSON.stringify({ orderId, cents: 1999 })
  const headers = sign(secret, webhookId, body)
  return (await app.request('/hooks/payments', { method: 'POST', body, headers })).status
}

/** What the CRM is told of one order, from now on. */
async function toldTheCrm(orderId: string): Promise<string[]> {
  const told: string[] = []
  const crm = ({ topic, key }: DeliveredMessage): void => {
    if (key === orderId) told.push(topic)
  }
  await deliverNow({ connectionString, destinations: { crm } })
  return told
}

const paymentsOf = async (orderId: string) => (await sql`select from payments where order_id = ${orderId}`).count

test('a webhook that comes twice pays once, and the CRM hears of it in order', async () => {
  const orderId = await place()
  const webhookId = `evt_${randomUUID()}`
  assert.equal(await pay(orderId, webhookId), 204)
  assert.equal(await pay(orderId, webhookId), 204)

  const shown = (await (await app.request(`/orders/${orderId}`)).json()) as { status: string }
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
