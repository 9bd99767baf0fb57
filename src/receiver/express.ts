/** The subpath `waybill/receiver/express`. Nothing of Express is imported: what Node.js has is all that is used. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { callListener } from '../core/call-listener.js'
import { messageOf } from '../core/errors.js'
import { checkLimit, defaultLimit, readRawBody, tooLarge } from './read-raw-body.js'
import type { ReceivedWebhook } from './received-webhook.js'
import { bodyParsed, createWebhookVerifier, isRawBody, type RawBody, type VerifierOptions } from './verify.js'
import { WebhookError } from './webhook-error.js'

declare global {
  // where Express keeps what middlewares add
  // eslint-disable-next-line @typescript-eslint/no-namespace
  namespace Express {
    interface Request {
      /** What `webhookReceiver` verified; undefined on routes that it does not stand before. */
      webhook?: ReceivedWebhook
    }
  }
}

export interface WebhookReceiverOptions extends VerifierOptions {
  /** Longest body, in bytes. Default 1,048,576. */
  readonly limit?: number | undefined
  /**
   * Called for each refusal, for a log or a metric: the sender gets a code and no more. What it throws or rejects with changes
   * nothing: it becomes a warning of the process (`WAYBILL_HOOK_FAILED`).
   */
  readonly onRefused?: ((error: WebhookError, request: IncomingMessage) => void) | undefined
}

/** What is used of a request of Express: Node's own, and what body parsers leave on it. */
export type ReceivingRequest = IncomingMessage & { webhook?: ReceivedWebhook; body?: unknown; rawBody?: unknown }

export type WebhookMiddleware = (
  request: ReceivingRequest,
  response: ServerResponse,
  next: (error?: unknown) => void,
) => Promise<void>

/**
 * Express middleware that lets only verified webhooks through, with `req.webhook` set. Refusals are answered with 400, 401
 * or 413 and `{ "error": code, "header": name }`.
 *
 * It reads the body itself: mount it before any body parser. Behind `express.raw()`, or where `req.rawBody` is a Buffer,
 * those bytes are taken. Behind one that parses, the raw body is gone: that goes to `next(error)`
 * (`WAYBILL_WEBHOOK_BODY_PARSED`, status 500), because it is this application that has to change.
 *
 * Throws an `InputError` for a secret or a limit that is none.
 */
export function webhookReceiver({
  limit = defaultLimit,
  onRefused,
  ...options
}: WebhookReceiverOptions): WebhookMiddleware {
  const verify = createWebhookVerifier(options)
  checkLimit(limit)
  return async (request, response, next) => {
    try {
      request.webhook = verify({ headers: request.headers, rawBody: await rawBodyOf(request, limit) })
    } catch (error) {
      if (!(error instanceof WebhookError) || error.status >= 500 || response.headersSent) return next(error)
      callListener(() => onRefused?.(error, request), warnOfHook)
      return answer(response, error)
    }
    next()
  }
}

function warnOfHook(error: unknown): void {
  process.emitWarning(`onRefused failed: ${messageOf(error).slice(0, 1000)}`, { code: 'WAYBILL_HOOK_FAILED' })
}

async function rawBodyOf(request: ReceivingRequest, limit: number): Promise<RawBody> {
  // behind another receiver too, whose secrets are others: each verifies the same bytes
  const kept = [request.webhook?.rawBody, request.rawBody, request.readableDidRead ? request.body : undefined].find(
    isRawBody,
  )
  if (kept === undefined) {
    if (request.readableDidRead) throw bodyParsed(request.body)
    return readRawBody(request, { limit })
  }
  if (Buffer.byteLength(kept) > limit) throw tooLarge(limit)
  return kept
}

function answer(response: ServerResponse, { status, code, header }: WebhookError): void {
  response.statusCode = status
  response.setHeader('content-type', 'application/json')
  response.end(JSON.stringify({ error: code, header }))
}
