import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { deliverNow, type DeliveredMessage } from 'waybill/testing'
import { buildApp } from '../src/app.js'
import { sign } from './sign.js'

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const paymentsSecret = `whsec_${Buffer.from('of the payment service').toString('base64')}`
const app = await buildApp({ pool, paymentsSecret })
afterAll(async () => {
  await app.close()
  await pool.end()
})

async function place(): Promise<string> {
  const answer = await app.inject({ method: 'POST', url: '/orders', payload: { customer: 'Ada', cents: 1999 } })
  expect(answer.statusCode).toBe(201)
  return answer.json<{ orderId: string }>().orderId
}

function pay(orderId: string, webhookId: string, secret = paymentsSecret) {
  const payload = JSON.stringify({ orderId, cents: 1999 })
  return app.inject({ method: 'POST', url: '/hooks/payments', headers: sign(secret, webhookId, payload), payload })
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
  expect((await pay(orderId, webhookId)).statusCode).toBe(204)
  expect((await pay(orderId, webhookId)).statusCode).toBe(204)

  expect((await app.inject(`/orders/${orderId}`)).json()).toMatchObject({ status: 'paid' })
  expect(await paymentsOf(orderId)).toBe(1)
  expect(await toldTheCrm(orderId)).toEqual(['order.created', 'order.paid'])
})

test('a webhook that nobody signed changes nothing', async () => {
  const orderId = await place()
  const forged = await pay(orderId, `evt_${randomUUID()}`, `whsec_${Buffer.from('another').toString('base64')}`)
  expect(forged.statusCode).toBe(401)
  expect(await paymentsOf(orderId)).toBe(0)
  expect(await toldTheCrm(orderId)).toEqual(['order.created'])
})

test('a webhook whose work fails is new when it comes again', async () => {
  const webhookId = `evt_${randomUUID()}`
  expect((await pay(randomUUID(), webhookId)).statusCode).toBe(409)
  const orderId = await place()
  expect((await pay(orderId, webhookId)).statusCode).toBe(204)
  expect(await paymentsOf(orderId)).toBe(1)
})

test('a bad order is refused before anything is written', async () => {
  const answer = await app.inject({ method: 'POST', url: '/orders', payload: { customer: 'Ada', cents: 0 } })
  expect(answer.statusCode).toBe(400)
})
