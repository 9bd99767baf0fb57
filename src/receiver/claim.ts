import { type HeaderValues, missing, required } from './header-source.js'
import { WebhookError } from './webhook-error.js'

/** What the three headers of Standard Webhooks say, before anything of it is proven. */
export interface Claim {
  /** As in the header, which is what is signed. */
  readonly id: string
  /** Unix seconds, as in the header. */
  readonly timestamp: string
  readonly signatures: readonly ClaimedSignature[]
}

export interface ClaimedSignature {
  /** `v1`, `v1a`; others are of schemes that are not known here. */
  readonly version: string
  /** In base64. */
  readonly signature: string
}

/** A header of 16 KiB has room for hundreds, and each ed25519 signature costs its verification. */
const maxSignatures = 32

export function readClaim(headers: HeaderValues): Claim {
  return { id: readId(headers), timestamp: readTimestamp(headers), signatures: readSignatures(headers) }
}

/**
 * A "." would let signed text be split in another way: `a.1.2.x` is the body `x` of `a.1` at 2, and the body `2.x` of
 * `a` at 1. Hence the specification's rule that ids have none.
 */
function readId(headers: HeaderValues): string {
  const header = 'webhook-id'
  const id = required(headers, header)
  if (/^[\x20-\x2d\x2f-\x7e]+$/.test(id)) return id
  const message = `${header}: must be printable ASCII without "." (Standard Webhooks 1.0), and has ${id.length} characters`
  throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message, { header })
}

function readTimestamp(headers: HeaderValues): string {
  const header = 'webhook-timestamp'
  const timestamp = required(headers, header)
  // more digits than these are milliseconds or nonsense
  if (/^(0|[1-9]\d{0,11})$/.test(timestamp)) return timestamp
  const message = `${header}: must be Unix time in whole seconds, such as 1674087231`
  throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message, { header })
}

export function readSignatures(headers: HeaderValues, header = 'webhook-signature'): readonly ClaimedSignature[] {
  // Sent as several headers they are one list; Node and fetch join those with ", ". Base64 has no comma.
  const parts = (headers.get(header) ?? []).flatMap((value) => value.split(' ')).map((part) => part.replace(/,$/, ''))
  const given = parts.filter((part) => part !== '')
  if (given.length === 0) throw missing(header)
  if (given.length > maxSignatures) {
    const message = `${header}: has ${given.length} signatures, at most ${maxSignatures} are looked at; the sender must drop old secrets`
    throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message, { header })
  }
  const signatures = given.map((part) => {
    const comma = part.indexOf(',')
    return { version: part.slice(0, comma), signature: part.slice(comma + 1) }
  })
  const wellFormed = signatures.filter(({ version, signature }) => /^v\d+[a-z]*$/.test(version) && signature !== '')
  if (wellFormed.length > 0) return wellFormed
  const message = `${header}: must be a list, separated by spaces, of "v1," or "v1a," and base64`
  throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message, { header })
}
