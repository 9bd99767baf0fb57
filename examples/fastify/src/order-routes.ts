import { eq } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { FastifyPluginAsync } from 'fastify'
import { placeOrder } from './orders.js'
import { orders } from './tables.js'

const newOrder = {
  type: 'object',
  required: ['customer', 'cents'],
  properties: { customer: { type: 'string', minLength: 1 }, cents: { type: 'integer', minimum: 1 } },
} as const
const byId = { type: 'object', properties: { id: { type: 'string', format: 'uuid' } } } as const

export const orderRoutes: FastifyPluginAsync<{ db: NodePgDatabase }> = async (app, { db }) => {
  app.post<{ Body: { customer: string; cents: number } }>(
    '/orders',
    { schema: { body: newOrder } },
    async ({ body: { customer, cents } }, reply) => {
      const orderId = await db.transaction((tx) => placeOrder(tx, app.waybill, customer, cents))
      return reply.code(201).send({ orderId })
    },
  )

  app.get<{ Params: { id: string } }>('/orders/:id', { schema: { params: byId } }, async ({ params }, reply) => {
    const [order] = await db.select().from(orders).where(eq(orders.id, params.id))
    return order ?? reply.code(404).send({ error: 'there is no such order' })
  })
}
