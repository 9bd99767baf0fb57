/** The subpath `waybill/receiver`: the receiving side of webhooks. Loads nothing but Node's own modules. */
export { createWebhookVerifier, verifyWebhook } from './verify.js'
export type { RawBody, VerifierOptions, WebhookRequest, WebhookVerifier } from './verify.js'
export { webhookPublicKey } from './keys.js'
export { readRawBody } from './read-raw-body.js'
export { WebhookError } from './webhook-error.js'
export type { HeaderSource } from './header-source.js'
export type { ReceivedWebhook } from './received-webhook.js'
