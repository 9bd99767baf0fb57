import type { PayloadOf, TopicMap, TopicOf } from './topics.js'
import type { Transaction } from '../transactions/transaction.js'

/** What goes with one message. All of it optional. */
export interface MessageOptions {
  /**
   * Messages with equal keys reach each destination in publish order. 1–1,024 bytes of UTF-8 without control characters.
   * Default: null, no order.
   */
  readonly key?: string | null | undefined
  /**
   * Take an advisory lock on the key until the transaction ends: publishers of one key then queue behind one another,
   * and publish order is commit order. Needs a `key`. Default: false.
   */
  readonly keyLock?: boolean | undefined
  /**
   * Headers: names are HTTP tokens of up to 128 characters and are lower-cased, values are strings without control
   * characters. `traceparent` and `tracestate` of the active OpenTelemetry span are added unless given here.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** A uuid of the caller's own. Default: a new uuid v7, later ones sorting after earlier ones of this process. */
  readonly id?: string | undefined
  /** Not before this much later by the database's clock: milliseconds, or `30s`, `5m`, `2h`, `7d`. Excludes `at`. */
  readonly delay?: number | string | undefined
  /** Not before this time; in the past: at once. Excludes `delay`. */
  readonly at?: Date | undefined
  /**
   * A second publish of this topic with an equal key within `dedupeWindow` writes nothing and gives the first one's id.
   * 1–512 bytes of UTF-8 without control characters.
   */
  readonly dedupeKey?: string | undefined
  /** Milliseconds or text such as `1h`; needs a `dedupeKey`. Default: 24 hours. */
  readonly dedupeWindow?: number | string | undefined
  /** Exactly these destinations, in place of the routes. At least one; each must be deployed. */
  readonly to?: readonly string[] | undefined
}

/** In which transaction. Leaving it out is an error on purpose: publishing apart from one's data is what an outbox prevents. */
export interface TransactionOption {
  /** The open transaction to publish in, or null for one of the message's own. */
  readonly tx: Transaction | null
}

export interface PublishOptions extends MessageOptions, TransactionOption {}

/** An element of `publishMany`'s list: a topic with a payload that fits it, and the options of one message. */
export type Message<Topics extends TopicMap> = {
  [Topic in TopicOf<Topics>]: { readonly topic: Topic; readonly payload: PayloadOf<Topics, Topic> } & MessageOptions
}[TopicOf<Topics>]

/** A pool for what is published with `tx: null`; a `pg.Pool` is one. */
export interface PublishPool {
  query(text: string, values?: unknown[]): PromiseLike<{ readonly rows: readonly unknown[] }>
}

export interface QueueOptions<Topics extends TopicMap> {
  /** From `defineTopics`. Without it any topic and any JSON payload can be published. */
  readonly topics?: Topics | undefined
  /** Used for `tx: null` only; never ended by the queue. Excludes `connectionString`. */
  readonly pool?: PublishPool | undefined
  /** The queue makes a pool of its own at the first `tx: null`, and ends it in `close`. Excludes `pool`. */
  readonly connectionString?: string | undefined
  /** Connections of that pool, at most. Default 4. */
  readonly maxConnections?: number | undefined
  /**
   * Bytes of JSON text of one payload, at most. Default 1,048,576. The database has its own limit, with the
   * same default: to allow more, up to 67,108,864, raise both (`select waybill.set_limits(payload_bytes => …)`, as the owner).
   */
  readonly maxPayloadBytes?: number | undefined
  /**
   * Use named prepared statements with `pg`: the database plans each once for every connection. Default false, for
   * PgBouncer before 1.21 refuses them in transaction mode.
   */
  readonly prepared?: boolean | undefined
}
