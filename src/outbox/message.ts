import { headerName, maxHeaders, maxKeyBytes } from '../core/message-syntax.js'
import { isTopic } from '../core/topic-pattern.js'

/** What a Date reaches: an infinite time, or one of another age, would throw wherever it is written. */
const maxTimeMs = 8.64e15

/** A message as the log holds it. Headers, time and destinations are parsed when somebody asks: most adapters never do. */
export class LogMessage {
  attempt = 1
  readonly seq: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  /** Of payload and headers, as JavaScript counts them. */
  readonly bytes: number
  /** It has more bytes than any message may have: payload and headers were not read, and stand empty. */
  readonly large: boolean
  #headers: string | Readonly<Record<string, string>> | null
  readonly #destinations: string | null
  readonly #createdAt: string

  /** `row`: the columns of `message_page.sql`, or of `message_load.sql`, each as the text that PostgreSQL sent. */
  constructor(row: readonly (string | null)[]) {
    this.seq = Number(row[0])
    this.id = row[1] as string
    this.topic = row[2] as string
    this.key = row[3] ?? null
    this.payload = row[4] ?? ''
    this.#headers = row[5] ?? null
    this.bytes = this.payload.length + (row[5]?.length ?? 0)
    this.large = row[9] === 'large'
    this.#destinations = row[6] ?? null
    this.#createdAt = row[7] as string
  }

  get headers(): Readonly<Record<string, string>> {
    if (typeof this.#headers === 'string') this.#headers = JSON.parse(this.#headers) as Record<string, string>
    return this.#headers ?? noHeaders
  }

  /** The same, without payload and headers. */
  withoutContent(): LogMessage {
    const { seq, id, topic, key, attempt } = this
    const row = [String(seq), id, topic, key, '', null, this.#destinations, this.#createdAt]
    return Object.assign(new LogMessage(row), { attempt })
  }

  get createdAt(): Date {
    const ms = Number(this.#createdAt) * 1000
    return new Date(Math.abs(ms) <= maxTimeMs ? ms : 0)
  }

  /** The destinations that the publisher named, or null when the routes decide. */
  get destinations(): readonly string[] | null {
    return this.#destinations === null ? null : (JSON.parse(this.#destinations) as string[])
  }
}

/**
 * What makes a message undeliverable, in words: `waybill.publish` refuses it, but whoever may insert into the log could
 * write it. About 0.1 µs where there are no headers.
 */
export function flawOf({
  topic,
  key,
  headers,
  large,
}: Pick<LogMessage, 'topic' | 'key' | 'headers' | 'large'>): string | undefined {
  if (large) return 'its payload and headers have more than 65 MiB, and were not read'
  if (!isTopic(topic)) return 'its topic is not one: words of letters, digits, "_" and "-" joined by dots'
  if (key !== null && (key === '' || isTooLong(key) || controlCharacter.test(key)))
    return `its key is empty, longer than ${maxKeyBytes} bytes, or has a control character`
  if (headers !== noHeaders && !areHeaders(headers))
    return `its headers are not an object of up to ${maxHeaders} strings with lower-case names`
  return undefined
}

// eslint-disable-next-line no-control-regex -- that is what is looked for
const controlCharacter = /[\x00-\x1f\x7f-\x9f]/

/** Counts bytes only where a key could have too many. */
function isTooLong(key: string): boolean {
  return key.length * 3 > maxKeyBytes && Buffer.byteLength(key) > maxKeyBytes
}

function areHeaders(headers: unknown): boolean {
  return (
    typeof headers === 'object' &&
    !Array.isArray(headers) &&
    Object.keys(headers as object).length <= maxHeaders &&
    Object.entries(headers as object).every(([name, value]) => headerName.test(name) && typeof value === 'string')
  )
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})
