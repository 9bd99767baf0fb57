import { Pool } from 'undici'
import { tlsOptions } from '../../config/destinations/tls.js'
import { parseEndpoint, type WebhookSettings } from '../../config/destinations/webhook.js'
import { AddressGuard } from '../../core/address-guard.js'
import { InputError } from '../../core/errors.js'
import type { AdapterContext, AdapterFactory } from '../contract.js'
import { WebhookAdapter } from './adapter.js'
import { type Authorization, fixedAuthorization } from './authorization.js'
import { type ConnectPolicy, guardedConnector } from './connector.js'
import type { Endpoint } from './exchange.js'
import { ClientCredentials } from './oauth2.js'
import { createHeaderBuilder } from './request-headers.js'
import { TokenBucket } from './token-bucket.js'

/** Messages as signed POSTs (Standard Webhooks 1.0). `docs/adapters/webhook.md` has what is sent and what answers mean. */
export const webhookAdapter: AdapterFactory<WebhookSettings> = {
  kind: 'webhook',
  receiptsByDefault: true,
  create: (settings, context) => createWebhookAdapter(settings, context),
}

function createWebhookAdapter(settings: WebhookSettings, { destination }: AdapterContext): WebhookAdapter {
  const url = parseEndpoint(settings.url)
  if (!url) {
    const problem = { path: `destinations.${destination}.url`, message: 'must be an absolute http or https URL' }
    throw new InputError('WAYBILL_CONFIG_INVALID', 'the destination cannot be built', [problem])
  }
  const policy: ConnectPolicy = { guard: new AddressGuard(settings.allowNetworks), allowHttp: settings.allowHttp }
  const { rateLimit } = settings
  const pool = createPool(url, settings, policy)
  return new WebhookAdapter({
    destination,
    endpoint: createEndpoint(url, pool, settings, policy),
    pool,
    concurrency: settings.concurrency,
    bucket: rateLimit && new TokenBucket(rateLimit.perSecond, rateLimit.burst, performance.now()),
  })
}

function createPool(url: URL, settings: WebhookSettings, policy: ConnectPolicy): Pool {
  return new Pool(url.origin, {
    connections: settings.concurrency,
    // a POST behind another on one connection would share its fate
    pipelining: 1,
    // an exchange has one limit for everything, body included, and undici's timers tick once a second
    headersTimeout: 0,
    bodyTimeout: 0,
    // less than what common servers and load balancers keep a connection for
    keepAliveTimeout: 4000,
    connect: guardedConnector(policy, { timeout: settings.timeoutMs, ...tlsOptions(settings.tls) }),
  })
}

function createEndpoint(url: URL, pool: Pool, settings: WebhookSettings, policy: ConnectPolicy): Endpoint {
  return {
    dispatcher: pool,
    origin: url.origin,
    path: url.pathname + url.search,
    buildHeaders: createHeaderBuilder(settings),
    authorization: createAuthorization(settings, policy),
    timeoutMs: settings.timeoutMs,
    maxRetryAfterMs: settings.maxRetryAfterMs,
    deadOn: new Set(settings.deadOn),
    answerExcerpt: settings.answerExcerpt,
    secrets: [...settings.secrets, ...Object.values(settings.headers)].map((secret) => secret.reveal()),
  }
}

function createAuthorization(settings: WebhookSettings, policy: ConnectPolicy): Authorization {
  const { auth, timeoutMs, maxRetryAfterMs } = settings
  if (auth.type !== 'oauth2') return fixedAuthorization(auth)
  return new ClientCredentials(auth, { policy, timeoutMs, maxRetryAfterMs, tls: tlsOptions(settings.tls) })
}
