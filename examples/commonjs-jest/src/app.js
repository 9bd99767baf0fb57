const express = require('express')
const { verifyWebhook, WebhookError } = require('waybill/receiver')
const { inTransaction } = require('./database')
const { markPaid, placeOrder } = require('./orders')
const { queue } = require('./queue')

/** The routes. `bankSecret` is what the bank signs its webhooks with. */
function createApp({ pool, bankSecret }) {
  const app = express()

  // Signatures are of the body as it came: this route is before express.json().
  app.post('/webhooks/bank', express.raw({ type: '*/*' }), async (request, response) => {
    const { payload } = verifyWebhook({
      headers: request.headers,
      rawBody: request.body ?? '',
      secrets: bankSecret,
    })
    if (payload.type === 'payment.received') await inTransaction(pool, (tx) => markPaid(tx, payload.data.orderId))
    response.sendStatus(204)
  })

  app.post('/orders', express.json(), async (request, response) => {
    response.status(201).json(await inTransaction(pool, (tx) => placeOrder(tx, request.body)))
  })

  app.use(async (error, _request, response, next) => {
    if (!(error instanceof WebhookError)) return next(error)
    await queue.publish('webhook.refused', { error: error.code }, { tx: null })
    response.status(error.status).json({ error: error.code })
  })
  return app
}

module.exports = { createApp }
