import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { FastifyPluginAsync } from 'fastify'
import { Inbox } from 'waybill/inbox'
import { webhookReceiver } from 'waybill/receiver/fastify'
import { z } from 'zod'
import { payOrder } from './orders.js'

const captured = z.object({ orderId: z.uuid(), cents: z.int().positive() })
const inbox = new Inbox({ consumer: 'orders' })

class NoOrder extends Error {
  readonly statusCode = 409
}

/** A scope of its own: whatever is posted to it is signed by the payment service, or refused. */
export const paymentHooks: FastifyPluginAsync<{ db: NodePgDatabase; secret: string }> = async (app, { db, secret }) => {
  await app.register(webhookReceiver, { secrets: secret })

  app.post('/hooks/payments', async ({ webhook }, reply) => {
    const { orderId, cents } = captured.parse(webhook.payload)
    await db.transaction((tx) =>
      // webhooks come at least once: the claim of the id is committed with what it did, or not at all
      inbox.once(webhook.id, { tx }, async () => {
        if (!(await payOrder(tx, app.waybill, orderId, cents))) throw new NoOrder('no such order is to be paid')
      }),
    )
    return reply.code(204).send()
  })
}
