import { json, Router } from 'express'
import type { $Class } from '$module'
import { createOrder, type NewOrder } from './create-order.js'

/** POST /orders. Mount it in your app: app.use(orderRoutes($client)) */
export function orderRoutes($client: $Type): Router {
  const routes = Router()
  routes.post('/orders', json(), (request, response, next) => {
    createOrder($client, request.body as NewOrder).then((messageId) => response.status(201).json({ messageId }), next)
  })
  return routes
}
