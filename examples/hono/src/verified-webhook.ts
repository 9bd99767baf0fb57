import { createMiddleware } from 'hono/factory'
import { createWebhookVerifier, type ReceivedWebhook, type VerifierOptions, WebhookError } from 'waybill/receiver'

/** Lets only verified webhooks through, with `c.var.webhook` set. Put Hono's bodyLimit before it. */
export function verifiedWebhook(options: VerifierOptions) {
  const verify = createWebhookVerifier(options)
  return createMiddleware<{ Variables: { webhook: ReceivedWebhook } }>(async (c, next) => {
    // the bytes as they came: JSON that was parsed and written again is not what was signed
    const rawBody = await c.req.arrayBuffer()
    try {
      c.set('webhook', verify({ headers: c.req.raw.headers, rawBody }))
    } catch (error) {
      if (!(error instanceof WebhookError)) throw error
      return Response.json({ error: error.code, header: error.header }, { status: error.status })
    }
    await next()
  })
}
