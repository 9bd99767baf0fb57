import { Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { HTTPException } from 'hono/http-exception'
import type { Sql } from 'postgres'
import * as v from 'valibot'
import { Inbox } from 'waybill/inbox'
import { payOrder, placeOrder } from './orders.js'
import { verifiedWebhook } from './verified-webhook.js'

const cents = v.pipe(v.number(), v.integer(), v.minValue(1))
const uuid = v.pipe(v.string(), v.uuid())
const newOrder = v.strictObject({ customer: v.pipe(v.string(), v.minLength(1)), cents })
const captured = v.object({ orderId: uuid, cents })

export interface AppOptions {
  readonly sql: Sql
  /** What the payment service signs its webhooks with. */
  readonly paymentsSecret: string
}

export function createApp({ sql, paymentsSecret }: AppOptions): Hono {
  const app = new Hono()
  const inbox = new Inbox({ consumer: 'orders' })

  app.post('/orders', async (c) => {
    const { customer, cents } = v.parse(newOrder, await c.req.json())
    const orderId = await sql.begin((tx) => placeOrder(tx, customer, cents))
    return c.json({ orderId }, 201)
  })

  app.get('/orders/:id', async (c) => {
    const [order] = await sql`select * from orders where id = ${v.parse(uuid, c.req.param('id'))}`
    return order === undefined ? c.json({ error: 'there is no such order' }, 404) : c.json(order)
  })

  const limit = bodyLimit({ maxSize: 1024 * 1024 })
  app.post('/hooks/payments', limit, verifiedWebhook({ secrets: paymentsSecret }), async (c) => {
    const { id, payload } = c.var.webhook
    const { orderId, cents } = v.parse(captured, payload)
    // webhooks come at least once: the claim of the id is committed with what it did, or not at all
    await sql.begin((tx) => inbox.once(id, { tx }, () => payOrder(tx, orderId, cents)))
    return c.body(null, 204)
  })

  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse()
    if (error instanceof v.ValiError) return c.json({ error: error.message }, 400)
    console.error(error)
    return c.json({ error: 'internal error' }, 500)
  })
  return app
}
