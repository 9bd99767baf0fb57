import { Client } from 'undici'
import { tlsOptions } from '../../config/destinations/tls.js'
import { parseEndpoint, type WebhookSettings } from '../../config/destinations/webhook.js'
import { AddressGuard } from '../../core/address-guard.js'
import { looksLikeBareBase64 } from '../../core/webhook-keys.js'
import { InputError, WaybillError } from '../../core/errors.js'
import type { AdapterContext, AdapterFactory } from '../contract.js'
import { WebhookAdapter } from './adapter.js'
import { type Authorization, fixedAuthorization } from './authorization.js'
import { type ConnectPolicy, guardedConnector } from './connection/connector.js'
import type { Endpoint } from './exchange.js'
import type { Meanings } from './outcome.js'
import { Connections } from './connection/connections.js'
import { ClientCredentials } from './oauth2.js'
import { createHeaderBuilder } from './request-headers.js'
import { TokenBucket } from './token-bucket.js'

/** Messages as signed POSTs (Standard Webhooks 1.0). `docs/adapters/webhook.md` has what is sent and what answers mean. */
export const webhookAdapter: AdapterFactory<WebhookSettings> = {
  kind: 'webhook',
  receiptsByDefault: true,
  create: (settings, context) => createWebhookAdapter(settings, context),
}

function createWebhookAdapter(settings: WebhookSettings, context: AdapterContext): WebhookAdapter {
  const { destination, logger } = context
  requireHttpClient(destination)
  const url = parseEndpoint(settings.url)
  if (!url) {
    const problem = { path: `destinations.${destination}.url`, message: 'must be an absolute http or https URL' }
    throw new InputError('WAYBILL_CONFIG_INVALID', 'the destination cannot be built', [problem])
  }
  warnOfBareBase64(settings, context)
  const policy: ConnectPolicy = { guard: new AddressGuard(settings.allowNetworks), allowHttp: settings.allowHttp }
  const { rateLimit } = settings
  const connections = new Connections({
    origin: url.origin,
    limit: settings.concurrency,
    keepAlive: settings.keepAlive,
    lifetimeMs: settings.connectionLifetimeMs,
    connect: guardedConnector(policy, { timeout: settings.timeoutMs, ...tlsOptions(settings.tls) }),
    onSurplus: () =>
      logger.warn(
        { destination },
        'the endpoint sent more than its answer; for 10 minutes each request gets a connection of its own',
      ),
  })
  return new WebhookAdapter({
    destination,
    endpoint: createEndpoint(url, settings, policy),
    connections,
    concurrency: settings.concurrency,
    bucket: rateLimit && new TokenBucket(rateLimit.perSecond, rateLimit.burst, performance.now()),
  })
}

/** Bun puts a module of its own in undici's place, with the same names and without what they do: each request would fail. */
function requireHttpClient(destination: string): void {
  if ('dispatch' in Client.prototype) return
  throw new WaybillError(
    'WAYBILL_RUNTIME_UNSUPPORTED',
    `destination ${JSON.stringify(destination)} is a webhook, and this runtime has no HTTP client that can send it: Bun replaces undici; run dispatchers with webhooks on Node.js 20.19 or later (publishing and jobs go on Bun too)`,
  )
}

function createEndpoint(url: URL, settings: WebhookSettings, policy: ConnectPolicy): Endpoint {
  return {
    origin: url.origin,
    path: url.pathname + url.search,
    buildHeaders: createHeaderBuilder(settings),
    authorization: createAuthorization(settings, policy),
    timeoutMs: settings.timeoutMs,
    maxRetryAfterMs: settings.maxRetryAfterMs,
    meanings: meaningsOf(settings),
    answerExcerpt: settings.answerExcerpt,
    secrets: [...settings.secrets, ...Object.values(settings.headers)].map((secret) => secret.reveal()),
  }
}

function meaningsOf({ deadOn, statuses }: WebhookSettings): Meanings {
  const meanings = new Map(Object.entries(statuses).map(([status, kind]) => [Number(status), kind]))
  for (const status of deadOn) meanings.set(status, 'dead')
  return meanings
}

/** A secret that other senders would decode. Text is a key as it is, so it may be meant; then this line is all. */
function warnOfBareBase64({ secrets }: WebhookSettings, { destination, logger }: AdapterContext): void {
  secrets.forEach((secret, index) => {
    if (!looksLikeBareBase64(secret.reveal())) return
    logger.warn(
      { destination, setting: `secrets[${index}]` },
      'the secret looks like base64 and is used as text; where the receiver decodes it, write "whsec_" in front of it, or no signature holds',
    )
  })
}

function createAuthorization(settings: WebhookSettings, policy: ConnectPolicy): Authorization {
  const { auth, timeoutMs, maxRetryAfterMs } = settings
  if (auth.type !== 'oauth2') return fixedAuthorization(auth)
  return new ClientCredentials(auth, { policy, timeoutMs, maxRetryAfterMs, tls: tlsOptions(settings.tls) })
}
