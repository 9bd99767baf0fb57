import { WaybillError } from '../../core/errors.js'
import type { RabbitmqSettings } from '../../config/destinations/rabbitmq.js'
import type { Adapter, AdapterContext, Capabilities, DeliverContext, OutboundMessage, Outcome } from '../contract.js'
import { open } from './connect.js'
import { connectOutcome, dead, misconfigured, retry } from './failures.js'
import { Flight } from './flight.js'
import { Link } from './link.js'
import { isConstant, publications } from './publication.js'

/** How long `close` waits for the broker to say goodbye. */
const goodbyeMs = 2000

/** A link, or why there is none. */
type Connected = Link | Outcome

export class RabbitmqAdapter implements Adapter {
  readonly kind = 'rabbitmq'
  readonly capabilities: Capabilities = { ordered: false, maxBatch: 500, concurrency: 4, transactional: false }
  readonly #settings: RabbitmqSettings
  readonly #context: AdapterContext
  readonly #unroutable: (text: string) => Outcome
  readonly #calls = new Set<Promise<void>>()
  #connected: Promise<Connected> | undefined
  #closing: Promise<void> | undefined

  constructor(settings: RabbitmqSettings, context: AdapterContext) {
    this.#settings = settings
    this.#context = context
    this.#unroutable = unroutableOutcome(settings)
  }

  async deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    if (this.#closing) {
      const text = `destination ${this.#context.destination}: deliver was called after close; create a new adapter`
      throw new WaybillError('WAYBILL_ADAPTER_CLOSED', text)
    }
    if (batch.length === 0) return
    const call = this.#deliver(new Flight(batch, context))
    this.#calls.add(call)
    try {
      await call
    } finally {
      this.#calls.delete(call)
    }
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #deliver(flight: Flight): Promise<void> {
    if (!flight.over) {
      const connected = await Promise.race([this.#connect(), flight.done])
      if (connected instanceof Link) connected.submit(flight)
      else if (connected !== undefined) flight.settleUnsent(connected)
    }
    await flight.done
  }

  /** The link that is up, or a new one; calls that come meanwhile share the attempt. Never rejects. */
  #connect(): Promise<Connected> {
    if (this.#connected) return this.#connected
    const attempt: Promise<Connected> = this.#openLink().then((connected) => {
      // A failed attempt is answered to those who waited for it; the next call tries again.
      const usable = connected instanceof Link && !connected.lost
      if (!usable && this.#connected === attempt) this.#connected = undefined
      return connected
    })
    this.#connected = attempt
    return attempt
  }

  async #openLink(): Promise<Connected> {
    const { exchange, inFlight, confirmTimeout } = this.#settings
    const { destination, logger } = this.#context
    try {
      const { connection, channel } = await open(this.#settings, destination)
      const link = new Link(connection, channel, {
        exchange,
        inFlight,
        confirmTimeoutMs: confirmTimeout,
        publications: publications(this.#settings),
        unroutable: this.#unroutable,
        onLost: (reason) => {
          this.#connected = undefined
          logger.debug({ destination, outcome: reason.kind, ...failureOf(reason) }, 'connection to RabbitMQ lost')
        },
      })
      logger.debug({ destination }, 'connected to RabbitMQ')
      return link
    } catch (error) {
      return connectOutcome(error)
    }
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#calls)
    const connected = await this.#connected
    if (connected instanceof Link) await connected.close(goodbyeMs)
  }
}

function failureOf(outcome: Outcome): { code?: string; reason?: string } {
  return 'failure' in outcome ? { code: outcome.failure.code, reason: outcome.failure.message } : {}
}

/** See `unroutable` of the settings. */
function unroutableOutcome({ exchange, routingKey, unroutable }: RabbitmqSettings): (text: string) => Outcome {
  const meaning = unroutable ?? (isConstant(routingKey) ? 'misconfigured' : 'retry')
  const outcome = { retry, dead, misconfigured }[meaning]
  const place = exchange === '' ? 'no such queue' : `exchange ${JSON.stringify(exchange)} has no queue for it`
  return (text) => outcome('AMQP_UNROUTABLE', `${place}; bind one: ${text}`)
}
