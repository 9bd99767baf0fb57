const { createHmac, randomBytes, randomUUID } = require('node:crypto')
const { once } = require('node:events')
const pg = require('pg')
const { deliverNow } = require('waybill/testing')
const { createApp } = require('../src/app')
const { queue } = require('../src/queue')

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL })
const secret = randomBytes(24)
let server
let url

beforeAll(async () => {
  server = createApp({ pool, bankSecret: `whsec_${secret.toString('base64')}` }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  url = `http://127.0.0.1:${server.address().port}`
})
afterAll(async () => {
  server.close()
  await queue.close()
  await pool.end()
})

test('what is ordered and paid reaches the CRM, in order', async () => {
  const order = await placeOrder({ customer: 'Grace', cents: 4200 })
  expect((await pay(order.id)).status).toBe(204)
  // a webhook may come twice
  expect((await pay(order.id)).status).toBe(204)

  const { crm } = await deliverNow({
    pool,
    destinations: {
      crm: ({ key, topic, attempt }) => {
        if (key === order.id && topic === 'order.created' && attempt === 1) throw new Error('busy')
      },
    },
    routes: { 'order.*': 'crm' },
  })
  expect(crm.delivered.filter(({ key }) => key === order.id)).toMatchObject([
    { topic: 'order.created', payload: { customer: 'Grace', cents: 4200 }, attempt: 2 },
    { topic: 'order.paid', payload: { id: order.id }, attempt: 1 },
  ])
  expect(crm.failed).toMatchObject([{ message: { key: order.id }, error: { message: 'busy' } }])
})

test('an order that the database refuses is neither stored nor published', async () => {
  expect((await postOrder({ customer: 'Eve', cents: -1 })).status).toBe(500)

  const { rows } = await pool.query("select from orders where customer = 'Eve'")
  expect(rows).toHaveLength(0)
  const { audit } = await deliverNow({ pool, destinations: { audit: async () => {} } })
  expect(audit.delivered.filter(({ payload }) => payload.customer === 'Eve')).toEqual([])
})

test('a webhook that the bank did not sign is refused, and security hears of it', async () => {
  const order = await placeOrder({ customer: 'Alan', cents: 100 })

  const response = await pay(order.id, randomBytes(24))
  expect(response.status).toBe(401)
  expect(await response.json()).toEqual({ error: 'WAYBILL_WEBHOOK_SIGNATURE_MISMATCH' })
  const { rows } = await pool.query('select paid from orders where id = $1', [order.id])
  expect(rows).toEqual([{ paid: false }])

  const { security } = await deliverNow({
    pool,
    destinations: { security: async () => {} },
    routes: { 'webhook.refused': 'security' },
  })
  expect(security.delivered).toMatchObject([{ payload: { error: 'WAYBILL_WEBHOOK_SIGNATURE_MISMATCH' } }])
})

function postOrder(order) {
  const headers = { 'content-type': 'application/json' }
  return fetch(`${url}/orders`, { method: 'POST', headers, body: JSON.stringify(order) })
}

async function placeOrder(order) {
  const response = await postOrder(order)
  expect(response.status).toBe(201)
  return response.json()
}

/** What the bank sends: signed as Standard Webhooks says, here with Node.js alone. */
function pay(orderId, key = secret) {
  const id = `msg_${randomUUID()}`
  const timestamp = Math.floor(Date.now() / 1000)
  const body = JSON.stringify({ type: 'payment.received', data: { orderId } })
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': `v1,${signature}`,
  }
  return fetch(`${url}/webhooks/bank`, { method: 'POST', headers, body })
}
