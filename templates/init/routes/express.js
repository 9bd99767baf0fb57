import { json, Router } from 'express'
import { createOrder } from './create-order.js'

/**
 * POST /orders. Mount it in your app: app.use(orderRoutes($client))
 *
 * @param {import('$module').$Type} $client
 */
export function orderRoutes($client) {
  const routes = Router()
  routes.post('/orders', json(), (request, response, next) => {
    createOrder($client, request.body).then((messageId) => response.status(201).json({ messageId }), next)
  })
  return routes
}
