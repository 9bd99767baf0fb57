import { Hono } from 'hono'
import type { $Class } from '$module'
import { createOrder, type NewOrder } from './create-order.js'

/** POST /orders. Mount it in your app: app.route('/', orderRoutes($client)) */
export function orderRoutes($client: $Type): Hono {
  const routes = new Hono()
  routes.post('/orders', async (context) => {
    const messageId = await createOrder($client, await context.req.json<NewOrder>())
    return context.json({ messageId }, 201)
  })
  return routes
}
