import { WaybillError } from '../../core/errors.js'
import type { Adapter, Capabilities, DeliverContext, Outcome, OutboundMessage } from '../contract.js'
import type { Connections } from './connection/connections.js'
import { type Endpoint, Exchange, type ExchangeOwner } from './exchange.js'
import { Group } from './group.js'
import type { TokenBucket } from './token-bucket.js'

export interface WebhookParts {
  readonly destination: string
  readonly endpoint: Endpoint
  readonly connections: Connections
  readonly concurrency: number
  readonly bucket: TokenBucket | undefined
}

/** One `deliver` that is under way. */
class Call implements ExchangeOwner {
  readonly #context: DeliverContext
  readonly #group: Group
  readonly #released: (exchange: Exchange) => void
  readonly #resolve: () => void
  #left: number

  constructor(
    context: DeliverContext,
    group: Group,
    size: number,
    /** A place is free again. */
    released: (exchange: Exchange) => void,
    resolve: () => void,
  ) {
    this.#context = context
    this.#group = group
    this.#left = size
    this.#released = released
    this.#resolve = resolve
  }

  settled(exchange: Exchange, outcome: Outcome): void {
    this.#context.settle(exchange.index, outcome)
  }

  ended(exchange: Exchange): void {
    this.#group.remove(exchange)
    if (exchange.started) this.#released(exchange)
    this.#left -= 1
    if (this.#left === 0) this.#resolve()
  }
}

/**
 * Webhooks: each message is one POST, up to `concurrency` of them side by side. `maxBatch` is 1, so that the lane, which
 * knows the keys, keeps every place filled and none waits for the slowest of a batch.
 */
export class WebhookAdapter implements Adapter {
  readonly kind = 'webhook'
  readonly capabilities: Capabilities
  readonly #parts: WebhookParts
  /** Waiting for a place or for the rate limit. */
  readonly #waiting: Exchange[] = []
  #running = 0
  /**
   * Exchanges by the signal that ends them. One listener stays on a signal as long as the signal lives: adding and
   * removing one for each message costs more than signing it, and more than ten at once draw a warning.
   */
  readonly #bySignal = new WeakMap<AbortSignal, Group>()
  /** A timer runs until the rate limit lets the next one pass. */
  #paced = false
  #idle: (() => void) | undefined
  #closing: Promise<void> | undefined

  constructor(parts: WebhookParts) {
    this.#parts = parts
    parts.connections.onFree = () => this.#fill()
    this.capabilities = { ordered: false, maxBatch: 1, concurrency: parts.concurrency, transactional: false }
  }

  deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    if (this.#closing) {
      const text = `destination ${JSON.stringify(this.#parts.destination)} is closed`
      return Promise.reject(new WaybillError('WAYBILL_ADAPTER_CLOSED', text))
    }
    if (context.signal.aborted || batch.length === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const group = this.#groupOf(context.signal)
      const call = new Call(context, group, batch.length, this.#released, resolve)
      batch.forEach((message, index) => {
        const exchange = new Exchange(this.#parts.endpoint, message, index, call)
        group.add(exchange)
        this.#waiting.push(exchange)
      })
      this.#fill()
    })
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    if (this.#running > 0 || this.#waiting.length > 0) {
      await new Promise<void>((resolve) => {
        this.#idle = resolve
      })
    }
    this.#parts.endpoint.authorization.close()
    // what is over is over; an aborted request may still hold a connection that is being made
    await this.#parts.connections.destroy()
  }

  readonly #released = (exchange: Exchange): void => {
    this.#running -= 1
    if (exchange.connection) this.#parts.connections.release(exchange.connection, exchange.clean)
    this.#fill()
  }

  /** Starts what there is a place and a token for. */
  #fill(): void {
    const { concurrency, bucket, connections } = this.#parts
    while (this.#running < concurrency) {
      const next = this.#waiting[0]
      if (!next) break
      if (next.over) {
        this.#waiting.shift()
        continue
      }
      const connection = connections.take()
      if (!connection) break
      const waitMs = bucket?.take(performance.now()) ?? 0
      if (waitMs > 0) {
        connections.putBack(connection)
        this.#fillIn(waitMs)
        break
      }
      this.#waiting.shift()
      this.#running += 1
      next.start(connection, connections.reusing)
    }
    if (this.#running === 0 && this.#waiting.length === 0) this.#idle?.()
  }

  #fillIn(waitMs: number): void {
    if (this.#paced) return
    this.#paced = true
    setTimeout(() => {
      this.#paced = false
      this.#fill()
    }, waitMs)
  }

  #groupOf(signal: AbortSignal): Group {
    const known = this.#bySignal.get(signal)
    if (known) return known
    const group = new Group(this.#parts.endpoint.timeoutMs)
    this.#bySignal.set(signal, group)
    signal.addEventListener(
      'abort',
      () => {
        group.abort()
        this.#fill()
      },
      { once: true },
    )
    return group
  }
}
