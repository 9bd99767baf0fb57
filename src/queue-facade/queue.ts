import { validate as isUuid } from 'uuid'
import { InputError, WaybillError, type Problem } from '../core/errors.js'
import { type Span, inSpan, setSpanAttribute } from '../core/open-telemetry.js'
import { cancelScheduled, publishAll, publishOne } from '../outbox/publish.js'
import { openPool, type OwnPool } from '../outbox/publish-pool.js'
import { prepareMessage, type MessageRules } from './message.js'
import { prepareMessages } from './message-list.js'
import { publishManySpan, publishSpan } from './publish-span.js'
import type { Message, PublishOptions, QueueOptions, TransactionOption } from './options.js'
import { checkQueueOptions } from './queue-options.js'
import { shapeOf } from '../core/shape.js'
import type { AnyTopics, PayloadOf, TopicMap, TopicOf } from './topics.js'
import type { OpenTransaction } from '../transactions/kind.js'
import { openTransaction } from '../transactions/transaction.js'
import { queryRunner } from '../transactions/query.js'
import { UnderWay } from './under-way.js'

/**
 * Publishes messages into the log, in the caller's own transaction: what is committed is delivered, what is rolled back
 * never was. Each call adds one statement. Safe to share; it holds no connection but those of its own pool.
 *
 * All methods reject with an `InputError` for input that was refused, before anything is written, and with a
 * `WaybillError` of code `WAYBILL_TX_REQUIRED`, `WAYBILL_TX_INVALID`, `WAYBILL_SCHEMA_MISSING`,
 * `WAYBILL_PERMISSION_DENIED` or `WAYBILL_QUEUE_CLOSED`. Other errors of the database pass through as they are.
 */
export class Queue<Topics extends TopicMap = AnyTopics> implements AsyncDisposable {
  readonly #rules: MessageRules
  readonly #options: ReturnType<typeof checkQueueOptions>
  #own: Promise<OwnPool> | undefined
  #closed = false
  readonly #underWay = new UnderWay()

  /** Connects to nothing. Throws an `InputError` (`WAYBILL_PUBLISH_INVALID`) for options that are not valid. */
  constructor(options: QueueOptions<Topics> = {}) {
    this.#options = checkQueueOptions(options)
    this.#rules = { topics: options.topics, maxPayloadBytes: this.#options.maxPayloadBytes }
  }

  /**
   * Publishes a message. Gives its id (a uuid; v7 unless given), or the id of the first one where `dedupeKey` was used
   * before. The payload is the schema's input; its output is stored.
   */
  publish<Topic extends TopicOf<Topics>>(
    topic: Topic,
    payload: PayloadOf<Topics, Topic>,
    options: PublishOptions,
  ): Promise<string> {
    const span = publishSpan(topic)
    return this.#track(topic, span, async () => {
      const transaction = this.#open(options)
      const prepared = prepareMessage(this.#rules, topic, payload, options, [])
      // without an await for what needs none, so that the statement is sent before publish returns
      const message = prepared instanceof Promise ? await held(transaction, prepared) : prepared
      if (span) setSpanAttribute(span, 'messaging.message.id', message.id)
      return publishOne(transaction.run, message)
    })
  }

  /**
   * Publishes a list, all of it or nothing, in one statement, in order; at most 50,000 messages and 128 MiB of payloads.
   * Gives an id for each. An empty list runs no statement. A problem's path begins with the element: `messages[3]`.
   */
  publishMany(messages: readonly Message<Topics>[], options: TransactionOption): Promise<string[]> {
    return this.#track('publishMany', publishManySpan(messages), async () => {
      const transaction = this.#open(options)
      const prepared = prepareMessages(this.#rules, messages)
      const list = prepared instanceof Promise ? await held(transaction, prepared) : prepared
      return list.length === 0 ? [] : publishAll(transaction.run, list)
    })
  }

  /**
   * Takes back a message that was published with `delay` or `at` and is not due yet. False when there is none: it is in
   * the log already, or never was.
   */
  cancel(id: string, options: TransactionOption): Promise<boolean> {
    return this.#track('cancel', undefined, async () => {
      const { run } = this.#open(options)
      if (!isUuid(id))
        throw refused([{ path: 'id', message: `is ${shapeOf(id)}, not a uuid; give what publish returned` }])
      return cancelScheduled(run, id)
    })
  }

  /**
   * Refuses new calls, waits for those under way, and ends the pool if the queue made it. Safe to call twice. Waits for
   * 10 seconds at most, then for nothing more, and warns of what is open (`process.emitWarning`, `WAYBILL_PUBLISH_OPEN`).
   */
  async close(): Promise<void> {
    this.#closed = true
    await this.#underWay.close(async () => {
      const own = this.#own
      this.#own = undefined
      await (await own)?.end()
    })
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #open(options: TransactionOption | undefined): OpenTransaction {
    if (this.#closed) throw new WaybillError('WAYBILL_QUEUE_CLOSED', 'the queue is closed; make a new Queue')
    const tx: unknown = (options as { tx?: unknown } | null | undefined)?.tx
    return tx === null ? this.#ofItsOwn() : openTransaction(tx, this.#options)
  }

  #ofItsOwn(): OpenTransaction {
    const { pool, connectionString, maxConnections, prepared } = this.#options
    if (pool !== undefined) return { run: queryRunner(pool), hold: nothing }
    if (connectionString === undefined) {
      throw refused([
        {
          path: 'tx',
          message: 'is null, and the queue has no database of its own; give new Queue a pool or a connectionString',
        },
      ])
    }
    return {
      run: async (statement) =>
        (await (this.#own ??= openPool(connectionString, maxConnections, prepared))).run(statement),
      hold: nothing,
    }
  }

  /** `what`: for the warning of what is open when the queue closes. */
  async #track<T>(what: string, span: Span | undefined, work: () => Promise<T>): Promise<T> {
    const done = this.#underWay.begin(what)
    try {
      return await (span ? inSpan(span, work) : work())
    } finally {
      done()
    }
  }
}

/** What waits for a schema belongs to the transaction that is open now, whichever is open then. */
function held<T>(transaction: OpenTransaction, prepared: Promise<T>): Promise<T> {
  transaction.hold()
  return prepared
}

const nothing = (): void => undefined

function refused(problems: Problem[]): InputError {
  return new InputError('WAYBILL_PUBLISH_INVALID', 'the call is not valid; nothing was written', problems)
}
