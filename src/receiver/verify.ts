import { parseDuration } from '../core/duration.js'
import { contextBytes, contextPrefix, contextSignatureHeader, signedPrefix } from '../core/webhook-keys.js'
import { type Claim, readClaim, readSignatures } from './claim.js'
import { type HeaderSource, type HeaderValues, readHeaders, required, single } from './header-source.js'
import { anyHolds, type Key, readKeys } from './keys.js'
import { ReceivedWebhook } from './received-webhook.js'
import { WebhookError } from './webhook-error.js'

/** The body as it came over the wire; text is taken as UTF-8. */
export type RawBody = string | Uint8Array | ArrayBuffer

export interface VerifierOptions {
  /**
   * The secret of this endpoint, or several while they are rotated: `whsec_` and base64 (HMAC-SHA256, `v1`), `whpk_` and
   * base64 of the sender's public key (ed25519, `v1a`), or other text (`v1`, its UTF-8 is the key).
   */
  readonly secrets: string | readonly string[]
  /** How far `webhook-timestamp` may be from now, either way: milliseconds, or text such as `5m`. Default 5 minutes. */
  readonly tolerance?: number | string | undefined
  /**
   * Topic, key and attempt must be signed as well (`webhook-context-signature`, which Waybill sends with `signContext`), or
   * the webhook is refused. Default false.
   */
  readonly signedContext?: boolean | undefined
  /** Now, in milliseconds since 1970. Default `Date.now`. */
  readonly now?: (() => number) | undefined
}

export interface WebhookRequest {
  readonly headers: HeaderSource
  readonly rawBody: RawBody
}

/** Gives what was received; throws a `WebhookError` where it is refused. */
export type WebhookVerifier = (request: WebhookRequest) => ReceivedWebhook

/**
 * A verifier of webhooks signed as Standard Webhooks 1.0 says (https://www.standardwebhooks.com). Keys are read once: a
 * secret that is none throws an `InputError` (`WAYBILL_WEBHOOK_SECRET_INVALID`) here, before anything is received.
 */
export function createWebhookVerifier({
  secrets,
  tolerance = '5m',
  signedContext = false,
  now = Date.now,
}: VerifierOptions): WebhookVerifier {
  const keys = readKeys(secrets)
  const toleranceMs = parseDuration(tolerance, 'tolerance')
  return ({ headers, rawBody }) => {
    if (!isRawBody(rawBody)) throw bodyParsed(rawBody)
    const body = bytesOf(rawBody)
    const values = readHeaders(headers)
    const claim = readClaim(values)
    checkTime(claim, now(), toleranceMs)
    if (!anyHolds(claim.signatures, keys, signedPrefix(claim.id, claim.timestamp), body)) throw mismatch(claim, keys)
    if (signedContext) checkContext(claim, values, keys)
    return new ReceivedWebhook(claim.id, claim.timestamp, values, body)
  }
}

/**
 * Verifies one webhook (Standard Webhooks 1.0, `v1` and `v1a`): one of the signatures must hold for one of the secrets,
 * and the timestamp be within `tolerance`. Signatures of other versions are ignored.
 *
 * Throws a `WebhookError` with `code`, `header` and `status` (the HTTP status to answer with) where the webhook is refused,
 * an `InputError` where a secret is none. `createWebhookVerifier` is the same for many webhooks.
 */
export function verifyWebhook({ headers, rawBody, ...options }: VerifierOptions & WebhookRequest): ReceivedWebhook {
  return createWebhookVerifier(options)({ headers, rawBody })
}

export function isRawBody(body: unknown): body is RawBody {
  return typeof body === 'string' || body instanceof Uint8Array || body instanceof ArrayBuffer
}

function bytesOf(body: RawBody): Buffer {
  if (typeof body === 'string') return Buffer.from(body)
  return body instanceof Uint8Array ? Buffer.from(body.buffer, body.byteOffset, body.byteLength) : Buffer.from(body)
}

export function bodyParsed(given: unknown): WebhookError {
  const shape =
    given === null ? 'null' : Array.isArray(given) ? 'an array' : typeof given === 'object' ? 'an object' : typeof given
  const remedy =
    'keep the raw body: signed are its bytes, and JSON that was parsed and written again has others. Verify before any body parser runs'
  return new WebhookError('WAYBILL_WEBHOOK_BODY_PARSED', `rawBody: must be text or bytes, not ${shape}; ${remedy}`)
}

function checkTime({ timestamp }: Claim, now: number, toleranceMs: number): void {
  const header = 'webhook-timestamp'
  const ageMs = now - Number(timestamp) * 1000
  if (Math.abs(ageMs) <= toleranceMs) return
  const [code, where] =
    ageMs > 0
      ? (['WAYBILL_WEBHOOK_TOO_OLD', 'ago'] as const)
      : (['WAYBILL_WEBHOOK_TOO_NEW', 'ahead of the clock here'] as const)
  const seconds = (ms: number): number => Math.round(ms / 1000)
  const message = `${header}: is ${seconds(Math.abs(ageMs))} s ${where}, more than the tolerance of ${seconds(toleranceMs)} s; set the clocks of both sides. A request that was recorded and sent again looks the same`
  throw new WebhookError(code, message, { header })
}

function checkContext(claim: Claim, values: HeaderValues, keys: readonly Key[]): void {
  const signatures = readSignatures(values, contextSignatureHeader)
  const signed = contextBytes(
    required(values, 'webhook-topic'),
    single(values, 'webhook-key'),
    required(values, 'webhook-attempt'),
  )
  if (anyHolds(signatures, keys, contextPrefix(claim.id, claim.timestamp), signed)) return
  throw mismatch({ signatures }, keys, contextSignatureHeader)
}

function mismatch(
  { signatures }: Pick<Claim, 'signatures'>,
  keys: readonly Key[],
  header = 'webhook-signature',
): WebhookError {
  const sent = listed(signatures.map(({ version }) => version))
  const known = listed(keys.map(({ version }) => version))
  const comparable = signatures.some(({ version }) => keys.some((key) => key.version === version))
  const remedy = comparable
    ? 'compare the secret with that of the sender for this endpoint, and verify the body byte for byte as it came'
    : `v1 needs a whsec_ secret, v1a the sender's whpk_ public key`
  const message = `${header}: no signature (${sent}) holds for a secret (${known}); ${remedy}`
  return new WebhookError('WAYBILL_WEBHOOK_SIGNATURE_MISMATCH', message, { header })
}

function listed(versions: readonly string[]): string {
  return [...new Set(versions)].join(', ')
}
