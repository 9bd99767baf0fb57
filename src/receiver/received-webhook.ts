import { WebhookError } from './webhook-error.js'
import { type HeaderValues, single } from './header-source.js'

const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * A webhook whose signature holds. Signed are `id`, `timestamp` and the body. Topic, key, attempt and all other headers
 * are not (Standard Webhooks signs none): they are as trustworthy as the connection they came over. With `signedContext`
 * topic, key and attempt are.
 *
 * Logging or serialising it shows no payload and no headers.
 */
export class ReceivedWebhook {
  /** `webhook-id`: the same over all attempts, so what to de-duplicate on. */
  readonly id: string
  /** `webhook-timestamp`: when this attempt was made, in whole seconds. */
  readonly timestamp: Date
  /** `webhook-topic`; undefined where the sender is not Waybill. */
  readonly topic: string | undefined
  /** `webhook-key`, decoded; undefined: the message has none. */
  readonly key: string | undefined
  /** `webhook-attempt`, from 1; undefined where the sender is not Waybill. */
  readonly attempt: number | undefined
  readonly #body: Buffer
  readonly #values: HeaderValues
  #parsed: { readonly payload: unknown } | undefined
  #headers: Readonly<Record<string, string>> | undefined

  /** @internal */
  constructor(id: string, timestamp: string, values: HeaderValues, body: Buffer) {
    this.id = id
    this.timestamp = new Date(Number(timestamp) * 1000)
    this.topic = decoded(values, 'webhook-topic')
    this.key = decoded(values, 'webhook-key')
    this.attempt = readAttempt(values)
    this.#values = values
    this.#body = body
  }

  /** The body, byte for byte. */
  get rawBody(): Buffer {
    return this.#body
  }

  /** The body as JSON, parsed when it is first asked for. Throws a `WebhookError` (`WAYBILL_WEBHOOK_PAYLOAD_INVALID`, 400) when it is none. */
  get payload(): unknown {
    this.#parsed ??= { payload: parse(this.#body) }
    return this.#parsed.payload
  }

  /**
   * All headers of the request by lower-case name, several values of one joined by ", ". Those that
   * `webhook-encoded-headers` lists, because HTTP could not hold them, are decoded, name and value.
   */
  get headers(): Readonly<Record<string, string>> {
    this.#headers ??= decodeHeaders(this.#values)
    return this.#headers
  }
}

function parse(body: Buffer): unknown {
  try {
    return JSON.parse(utf8.decode(body))
  } catch {
    // JSON.parse's own error quotes the text, and a cause is logged
    const message = `the body, ${body.length} bytes, is not JSON in UTF-8; use rawBody, or ask the sender for JSON`
    throw new WebhookError('WAYBILL_WEBHOOK_PAYLOAD_INVALID', message)
  }
}

function percentDecoded(text: string, header: string): string {
  try {
    return decodeURIComponent(text)
  } catch (cause) {
    const message = `${header}: is not percent-encoded UTF-8; the sender must encode "%" as "%25"`
    throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', message, { header, cause })
  }
}

function decoded(values: HeaderValues, header: string): string | undefined {
  const value = single(values, header)
  return value === undefined ? undefined : percentDecoded(value, header)
}

function readAttempt(values: HeaderValues): number | undefined {
  const header = 'webhook-attempt'
  const text = single(values, header)
  if (text === undefined) return undefined
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new WebhookError('WAYBILL_WEBHOOK_HEADER_INVALID', `${header}: must be a whole number from 1`, { header })
}

function decodeHeaders(values: HeaderValues): Readonly<Record<string, string>> {
  const lists = values.get('webhook-encoded-headers') ?? []
  const encoded = new Set(lists.flatMap((list) => list.toLowerCase().split(/\s*,\s*/)))
  // without a prototype, so that a header called "__proto__" is a header
  const headers = Object.create(null) as Record<string, string>
  for (const [name, all] of values) if (!encoded.has(name)) headers[name] = all.join(', ')
  for (const name of encoded) {
    const value = values.get(name)?.join(', ')
    if (value === undefined) continue
    const plain = percentDecoded(name, 'webhook-encoded-headers')
    // an encoded name never takes the place of one that HTTP can hold
    if (!(plain in headers)) headers[plain] = percentDecoded(value, name)
  }
  return headers
}
