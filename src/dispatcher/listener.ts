import type pg from 'pg'
import { SteadyClient } from '../db/steady-client.js'
import { hangUp } from '../db/hang-up.js'
import type { DispatcherLogger } from './hooks.js'

export interface ListenerEvents {
  /** A publisher committed while somebody slept; `ticket` names whose sleep it answers. */
  wake(ticket: string): void
  /** Lanes were released, or an operator acted on parked deliveries. */
  lanes(): void
  /** A dispatcher's heartbeat was heard. */
  beat(dispatcher: string): void
  /** LISTEN was accepted: whether notifications arrive is another question (through a pooler they do not). */
  connected(): void
  lost(): void
}

const retryMs = 5000

/**
 * The one connection with session state: LISTEN. Where a pooler stands between, it needs a direct URL. When it breaks,
 * the ticker polls until it is back.
 */
export class Listener {
  readonly #connectionString: string
  readonly #events: ListenerEvents
  readonly #logger: DispatcherLogger
  #client: pg.Client | undefined
  /** When a heartbeat was last heard on this connection, or it began; by the monotonic clock, ms. */
  #heardAt = 0
  /** Notifications come this way: through a pooler they never do. */
  #works = false
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(connectionString: string, events: ListenerEvents, logger: DispatcherLogger) {
    this.#connectionString = connectionString
    this.#events = events
    this.#logger = logger
  }

  async start(): Promise<void> {
    const client = new SteadyClient({
      connectionString: this.#connectionString,
      application_name: 'waybill listener',
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      connectionTimeoutMillis: 10_000,
    })
    this.#client = client
    client.on('error', (error) => this.#lost(client, error))
    client.on('end', () => this.#lost(client, undefined))
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === 'waybill_wake') this.#events.wake(payload)
      else if (payload.startsWith('beat:')) this.#hear(payload.slice(5))
      else this.#events.lanes()
    })
    try {
      await client.connect()
      await client.query('listen waybill_wake; listen waybill_lanes')
      if (this.#client !== client) return
      this.#heardAt = performance.now()
      this.#events.connected()
    } catch (error) {
      this.#lost(client, error)
    }
  }

  /** Connects again where nothing was heard for `ms`, though notifications came this way before: the network is gone. */
  expectHeard(ms: number): void {
    const client = this.#client
    if (!client || !this.#works || performance.now() - this.#heardAt < ms) return
    this.#lost(client, new Error(`no heartbeat was heard for ${Math.round(ms / 1000)} s`))
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    const client = this.#client
    this.#client = undefined
    if (client) await hangUp(client)
  }

  #hear(dispatcher: string): void {
    this.#works = true
    this.#heardAt = performance.now()
    this.#events.beat(dispatcher)
  }

  #lost(client: pg.Client, error: unknown): void {
    if (this.#client !== client || this.#stopped) return
    this.#client = undefined
    this.#events.lost()
    this.#logger.warn({ err: error }, 'not listening: polling until the connection is back')
    void hangUp(client)
    this.#timer = setTimeout(() => void this.start(), retryMs)
  }
}
