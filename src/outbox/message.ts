import { headerName, maxKeyBytes } from '../core/message-syntax.js'
import { isTopic } from '../core/topic-pattern.js'

/** A message as the log holds it. Headers, time and destinations are parsed when somebody asks: most adapters never do. */
export class LogMessage {
  attempt = 1
  readonly seq: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  #headers: string | Readonly<Record<string, string>> | null
  readonly #destinations: string | null
  readonly #createdAt: string

  /** `row`: the columns of `message_page.sql`, each as the text that PostgreSQL sent. */
  constructor(row: readonly (string | null)[]) {
    this.seq = Number(row[0])
    this.id = row[1] as string
    this.topic = row[2] as string
    this.key = row[3] ?? null
    this.payload = row[4] as string
    this.#headers = row[5] ?? null
    this.#destinations = row[6] ?? null
    this.#createdAt = row[7] as string
  }

  get headers(): Readonly<Record<string, string>> {
    if (typeof this.#headers === 'string') this.#headers = JSON.parse(this.#headers) as Record<string, string>
    return this.#headers ?? noHeaders
  }

  get createdAt(): Date {
    return new Date(Number(this.#createdAt) * 1000)
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
export function flawOf({ topic, key, headers }: Pick<LogMessage, 'topic' | 'key' | 'headers'>): string | undefined {
  if (!isTopic(topic)) return 'its topic is not one: words of letters, digits, "_" and "-" joined by dots'
  if (key !== null && (key === '' || isTooLong(key) || controlCharacter.test(key)))
    return `its key is empty, longer than ${maxKeyBytes} bytes, or has a control character`
  if (headers !== noHeaders && !areHeaders(headers))
    return 'its headers are not an object of strings with lower-case names'
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
    Object.entries(headers as object).every(([name, value]) => headerName.test(name) && typeof value === 'string')
  )
}

const noHeaders: Readonly<Record<string, string>> = Object.freeze({})
