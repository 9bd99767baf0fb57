import { createOrder } from './create-order.js'

/**
 * POST /orders. Register it in your app: app.register(orderRoutes, { $client })
 *
 * @param {import('fastify').FastifyInstance} app
 * @param {{ $client: import('$module').$Type }} options
 */
export async function orderRoutes(app, { $client }) {
  app.post('/orders', async (request, reply) => {
    const order = /** @type {{ orderId: string, cents: number }} */ (request.body)
    const messageId = await createOrder($client, order)
    return reply.code(201).send({ messageId })
  })
}
