import type { FastifyInstance } from 'fastify'
import type { $Class } from '$module'
import { createOrder, type NewOrder } from './create-order.js'

/** POST /orders. Register it in your app: app.register(orderRoutes, { $client }) */
export async function orderRoutes(app: FastifyInstance, { $client }: { $client: $Type }): Promise<void> {
  app.post<{ Body: NewOrder }>('/orders', async (request, reply) => {
    const messageId = await createOrder($client, request.body)
    return reply.code(201).send({ messageId })
  })
}
