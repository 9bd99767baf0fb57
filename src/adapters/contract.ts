/**
 * What a destination's adapter promises. An adapter knows its protocol; it knows nothing of states, retries or SQL.
 * The conformance suite in `test/contract` is this file, executable.
 */

/** A message on its way out. `payload` is the JSON text as it was published, byte for byte. */
export interface OutboundMessage {
  /** uuid v7: what consumers de-duplicate on. */
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly payload: string
  /** Application headers; names are lower case. Empty when there are none. */
  readonly headers: Readonly<Record<string, string>>
  readonly createdAt: Date
  /** Which attempt this is, 1 for the first. */
  readonly attempt: number
}

/** Proof of a delivery, as the destination gave it: HTTP status, partition and offset, … JSON-compatible. */
export type Receipt = Readonly<Record<string, string | number | boolean | null>>

/** Why a message was not delivered. */
export interface DeliveryFailure {
  /** Stable and coarse, for grouping: `HTTP_500`, `TIMEOUT`, `AMQP_NACK`, `KAFKA_NOT_LEADER`. */
  readonly code: string
  /** For people. No payload, no secret. At most 2,000 characters are kept. */
  readonly message: string
}

export type Outcome =
  /** The destination has it. */
  | { readonly kind: 'delivered'; readonly receipt?: Receipt }
  /** This message failed and may succeed later: an attempt is charged. */
  | { readonly kind: 'retry'; readonly failure: DeliveryFailure; readonly retryAfterMs?: number }
  /** The destination is down or throttling: nothing is charged, the lane stops, backs off and probes. */
  | { readonly kind: 'pause'; readonly failure: DeliveryFailure; readonly retryAfterMs?: number }
  /** Nothing will get through until somebody mends the configuration: pause and say so. */
  | { readonly kind: 'misconfigured'; readonly failure: DeliveryFailure }
  /** No retry of this message will help. */
  | { readonly kind: 'dead'; readonly failure: DeliveryFailure }

export interface DeliverContext {
  /** Aborted when the lane must stop now (lease lost, second stage of a stop). Unsettled messages count as not delivered. */
  readonly signal: AbortSignal
  /**
   * Says what became of `batch[index]`; once for each, as soon as it is known. A message that was never settled when
   * `deliver` resolves or rejects was not delivered: it is sent again, uncharged.
   */
  settle(index: number, outcome: Outcome): void
}

export interface Capabilities {
  /**
   * Messages of one key may be handed over together: the adapter delivers them in order, and after one of a key that
   * was not delivered it delivers no later one of that key from the batch (it leaves those unsettled).
   * Without it the lane hands over one message of a key at a time.
   */
  readonly ordered: boolean
  /** Messages in one `deliver` call, at most. */
  readonly maxBatch: number
  /** `deliver` calls under way at once, at most. */
  readonly concurrency: number
  /** Delivers inside the lane's own database transaction, by `deliverIn`. */
  readonly transactional: boolean
}

export interface Adapter {
  readonly kind: string
  readonly capabilities: Capabilities
  /**
   * Delivers a batch. Connects when it needs to, and again after a failure. Resolves when nothing of this call is under
   * way any more. Errors that concern the destination as a whole are settled as `pause` or `misconfigured`; throwing is
   * for bugs (the lane treats it as `pause`). After `close` it rejects with `WAYBILL_ADAPTER_CLOSED`.
   */
  deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void>
  /** Refuses new calls, waits for those under way, frees sockets. Safe to call twice. */
  close(): Promise<void>
}

/** Enough of a database transaction for a transactional adapter. */
export interface SqlExecutor {
  query(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ rows: readonly Record<string, unknown>[]; rowCount: number | null }>
}

export interface TransactionalAdapter extends Adapter {
  /**
   * Writes the batch through `tx`, in the transaction that moves the lane's cursor: all or nothing, so exactly once.
   * Answers one outcome for each message. It throws only when the database itself fails.
   */
  deliverIn(tx: SqlExecutor, batch: readonly OutboundMessage[]): Promise<readonly Outcome[]>
}

export function isTransactional(adapter: Adapter): adapter is TransactionalAdapter {
  return adapter.capabilities.transactional && 'deliverIn' in adapter
}

/** The least of a pino logger that Waybill uses. */
export interface AdapterLogger {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
}

export interface AdapterContext {
  /** The destination's name, for logs and errors. */
  readonly destination: string
  readonly logger: AdapterLogger
}

/** How a kind of destination is built. `settings` are validated already; creating connects to nothing. */
export interface AdapterFactory<Settings = unknown> {
  readonly kind: string
  /** Receipts are kept unless the destination says otherwise. */
  readonly receiptsByDefault: boolean
  create(settings: Settings, context: AdapterContext): Adapter
}
