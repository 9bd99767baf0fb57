import express, { type ErrorRequestHandler, type Express } from 'express'
import type pg from 'pg'
import { Inbox } from 'waybill/inbox'
import { webhookReceiver } from 'waybill/receiver/express'
import { z, ZodError } from 'zod'
import { inTransaction } from './database.js'
import { payOrder, placeOrder, Refused } from './orders.js'

const newOrder = z.strictObject({ customer: z.string().min(1), cents: z.int().positive() })
const captured = z.object({ orderId: z.uuid(), cents: z.int().positive() })

export interface AppOptions {
  readonly pool: pg.Pool
  /** What the payment service signs its webhooks with. */
  readonly paymentsSecret: string
}

export function createApp({ pool, paymentsSecret }: AppOptions): Express {
  const app = express()
  const inbox = new Inbox({ consumer: 'orders' })

  // before express.json(), which would throw the bytes away that were signed
  app.post('/hooks/payments', webhookReceiver({ secrets: paymentsSecret }), async (req, res) => {
    if (req.webhook === undefined) throw new Error('webhookReceiver does not stand before this route')
    const { id, payload } = req.webhook
    const { orderId, cents } = captured.parse(payload)
    // webhooks come at least once: the claim of the id is committed with what it did, or not at all
    await inTransaction(pool, (tx) => inbox.once(id, { tx }, () => payOrder(tx, orderId, cents)))
    res.sendStatus(204)
  })

  app.use(express.json())

  app.post('/orders', async (req, res) => {
    const { customer, cents } = newOrder.parse(req.body)
    const orderId = await inTransaction(pool, (tx) => placeOrder(tx, customer, cents))
    res.status(201).json({ orderId })
  })

  app.get('/orders/:id', async (req, res) => {
    const { rows } = await pool.query<{ status: string }>('select * from orders where id = $1', [
      z.uuid().parse(req.params.id),
    ])
    if (rows[0] === undefined) throw new Refused(404, 'there is no such order')
    res.json(rows[0])
  })

  app.use(answerError)
  return app
}

const answerError: ErrorRequestHandler = (error, _req, res, next) => {
  if (res.headersSent) return next(error)
  if (error instanceof Refused) return void res.status(error.status).json({ error: error.message })
  if (error instanceof ZodError) return void res.status(400).json({ error: 'invalid', issues: error.issues })
  next(error)
}
