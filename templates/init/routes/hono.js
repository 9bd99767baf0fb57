import { Hono } from 'hono'
import { createOrder } from './create-order.js'

/**
 * POST /orders. Mount it in your app: app.route('/', orderRoutes($client))
 *
 * @param {import('$module').$Type} $client
 */
export function orderRoutes($client) {
  const routes = new Hono()
  routes.post('/orders', async (context) => {
    const messageId = await createOrder($client, await context.req.json())
    return context.json({ messageId }, 201)
  })
  return routes
}
