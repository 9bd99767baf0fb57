import type { Pool } from 'undici'
import { WaybillError } from '../../core/errors.js'
import type { Adapter, Capabilities, DeliverContext, Outcome, OutboundMessage } from '../contract.js'
import { type Endpoint, Exchange, type ExchangeOwner } from './exchange.js'
import type { TokenBucket } from './token-bucket.js'

export interface WebhookParts {
  readonly destination: string
  readonly endpoint: Endpoint
  readonly pool: Pool
  readonly concurrency: number
  readonly bucket: TokenBucket | undefined
}

/**
 * The exchanges that one signal ends. Not a `Set`: a busy one is copied every few additions, and each copy that V8 has
 * taken for long-lived keeps the next alive, with all exchanges in it, until a full collection. Two such sets let four
 * fifths of what an exchange allocates (3 kB) outlive its time, which cost a quarter of this process's CPU time.
 */
class Group {
  readonly #members: Exchange[] = []

  add(exchange: Exchange): void {
    exchange.place = this.#members.length
    this.#members.push(exchange)
  }

  remove(exchange: Exchange): void {
    const last = this.#members.pop()
    if (!last || last === exchange) return
    last.place = exchange.place
    this.#members[last.place] = last
  }

  abort(): void {
    for (const exchange of [...this.#members]) exchange.abort()
  }
}

/** One `deliver` that is under way. */
class Call implements ExchangeOwner {
  readonly #context: DeliverContext
  readonly #released: (exchange: Exchange) => void
  readonly #resolve: () => void
  #left: number

  constructor(context: DeliverContext, size: number, released: (exchange: Exchange) => void, resolve: () => void) {
    this.#context = context
    this.#left = size
    this.#released = released
    this.#resolve = resolve
  }

  settled(exchange: Exchange, outcome: Outcome): void {
    this.#context.settle(exchange.index, outcome)
  }

  ended(exchange: Exchange): void {
    this.#released(exchange)
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
      const released = (exchange: Exchange): void => {
        group.remove(exchange)
        if (!exchange.started) return
        this.#running -= 1
        this.#fill()
      }
      const call = new Call(context, batch.length, released, resolve)
      for (const [index, message] of batch.entries()) {
        const exchange = new Exchange(this.#parts.endpoint, message, index, call)
        group.add(exchange)
        this.#waiting.push(exchange)
      }
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
    await this.#parts.pool.destroy()
  }

  /** Starts what there is a place and a token for. */
  #fill(): void {
    const { concurrency, bucket } = this.#parts
    while (this.#running < concurrency) {
      const next = this.#waiting[0]
      if (!next) break
      if (next.over) {
        this.#waiting.shift()
        continue
      }
      const waitMs = bucket?.take(performance.now()) ?? 0
      if (waitMs > 0) {
        this.#fillIn(waitMs)
        break
      }
      this.#waiting.shift()
      this.#running += 1
      next.start()
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
    const group = new Group()
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
