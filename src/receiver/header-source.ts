import { contextSignatureHeader } from '../core/webhook-keys.js'
import { WebhookError } from './webhook-error.js'

/**
 * Headers of a request, names in any case: a plain object (Node's `IncomingHttpHeaders`; a value may be an array), a
 * `Headers`, a `Map` or any other iterable of names and values.
 */
export type HeaderSource =
  | Readonly<Record<string, string | readonly string[] | undefined>>
  | Iterable<readonly [name: string, value: string | readonly string[] | undefined]>

/** Values by lower-case name, in the order in which they came. */
export type HeaderValues = ReadonlyMap<string, readonly string[]>

export function readHeaders(source: HeaderSource): HeaderValues {
  if (typeof source !== 'object' || source === null) {
    const message = `headers: must be an object, a Headers or a Map, not ${source === null ? 'null' : typeof source}; give the headers of the request`
    throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message)
  }
  const values = new Map<string, string[]>()
  const entries: Iterable<unknown> = Symbol.iterator in source ? source : Object.entries(source)
  for (const entry of entries) {
    const [name, given] = (Array.isArray(entry) ? entry : []) as unknown[]
    if (typeof name !== 'string') {
      const message =
        'headers: an iterable must give pairs of name and value; of rawHeaders make pairs, or give headers'
      throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message)
    }
    const texts = (Array.isArray(given) ? (given as unknown[]) : [given]).filter((value) => typeof value === 'string')
    if (texts.length === 0) continue
    const known = values.get(name.toLowerCase())
    if (known) known.push(...texts)
    else values.set(name.toLowerCase(), texts)
  }
  return values
}

/** The only value of a header; undefined where it is not there. Two values are refused: which one counts is anyone's guess. */
export function single(values: HeaderValues, header: string): string | undefined {
  const all = values.get(header)
  if (all && all.length > 1) {
    const message = `${header}: was sent ${all.length} times, where one is meant; find out who adds it on the way`
    throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message, { header })
  }
  return all?.[0]
}

/** As `single`; throws `WAYBILL_WEBHOOK_HEADER_MISSING` where the header is not there or empty. */
export function required(values: HeaderValues, header: string): string {
  const value = single(values, header)
  if (value === undefined || value === '') throw missing(header)
  return value
}

const remedies: Readonly<Record<string, string>> = {
  'webhook-signature': 'give the sender a signing secret',
  [contextSignatureHeader]: 'set signContext at the sender, or leave signedContext out here',
}

export function missing(header: string): WebhookError {
  const remedy =
    remedies[header] ?? 'the sender must follow Standard Webhooks 1.0, and proxies must pass "webhook-" headers on'
  return new WebhookError('WAYBILL_WEBHOOK_HEADER_MISSING', `${header}: is missing; ${remedy}`, { header })
}
