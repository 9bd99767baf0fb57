/** The subpath `waybill/receiver/fastify`. Only Fastify's types are imported. */
import type { Readable } from 'node:stream'
import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify'
import { codeOf } from '../core/errors.js'
import { sharedPlugin } from '../core/fastify-plugin.js'
import { checkLimit, defaultLimit, readRawBody } from './read-raw-body.js'
import type { ReceivedWebhook } from './received-webhook.js'
import { bodyParsed, createWebhookVerifier, isRawBody, type RawBody, type VerifierOptions } from './verify.js'
import { WebhookError } from './webhook-error.js'

declare module 'fastify' {
  interface FastifyRequest {
    /** What `webhookReceiver` verified: set for every handler of the scope in which that is registered, and for no other. */
    webhook: ReceivedWebhook
  }
}

export interface WebhookReceiverOptions extends VerifierOptions {
  /** Longest body, in bytes. Default 1,048,576. A route's `bodyLimit` has no say here. */
  readonly limit?: number | undefined
}

/**
 * Fastify plugin that lets only verified webhooks through to the routes of the scope in which it is registered, with
 * `request.webhook` set and `request.body` the payload (the raw bytes, when they are not JSON). Give webhooks a scope of
 * their own: body parsers of that scope are replaced, and every route in it needs a signature.
 *
 * A refusal is thrown as a `WebhookError` with its status (400, 401, 413): Fastify logs it and answers
 * `{ statusCode, code, error, message }` unless an error handler says otherwise.
 *
 * Registering fails with an `InputError` for a secret or a limit that is none.
 */
export const webhookReceiver: FastifyPluginAsync<WebhookReceiverOptions> = sharedPlugin('waybill-receiver', plugin)

/** Of all scopes: the parser of an inner one reads what the hook of an outer one verifies as well. */
const bodies = new WeakMap<FastifyRequest, Buffer | WebhookError>()

async function plugin(scope: FastifyInstance, options: WebhookReceiverOptions): Promise<void> {
  const { limit = defaultLimit, ...verifying } = options
  const verify = createWebhookVerifier(verifying)
  checkLimit(limit)
  if (!scope.hasRequestDecorator('webhook')) scope.decorateRequest('webhook')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', async (request: FastifyRequest, stream: Readable) => {
    // a parser that fails makes Fastify cut the connection while the sender still sends, who never sees the answer
    bodies.set(request, await readRawBody(stream, { limit }).catch(refusal))
  })
  scope.addHook('preValidation', async (request) => {
    const body = bodies.get(request) ?? keptBody(request)
    if (body instanceof WebhookError) throw body
    request.webhook = verify({ headers: request.headers, rawBody: body })
    request.body = payloadOrBytes(request.webhook)
  })
}

function refusal(error: unknown): WebhookError {
  if (error instanceof WebhookError) return error
  throw error
}

/** What is there when our parser did not run: nothing without a body, or what another parser of an inner scope made. */
function keptBody({ body }: FastifyRequest): RawBody {
  if (body === undefined) return ''
  if (isRawBody(body)) return body
  throw bodyParsed(body)
}

function payloadOrBytes(webhook: ReceivedWebhook): unknown {
  try {
    return webhook.payload
  } catch (error) {
    if (codeOf(error) !== 'WAYBILL_WEBHOOK_PAYLOAD_INVALID') throw error
    return webhook.rawBody
  }
}
