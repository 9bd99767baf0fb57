import pg from 'pg'
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
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(connectionString: string, events: ListenerEvents, logger: DispatcherLogger) {
    this.#connectionString = connectionString
    this.#events = events
    this.#logger = logger
  }

  async start(): Promise<void> {
    const client = new pg.Client({
      connectionString: this.#connectionString,
      application_name: 'waybill listener',
      keepAlive: true,
      connectionTimeoutMillis: 10_000,
    })
    this.#client = client
    client.on('error', (error) => this.#lost(client, error))
    client.on('end', () => this.#lost(client, undefined))
    client.on('notification', ({ channel, payload = '' }) => {
      if (channel === 'waybill_wake') this.#events.wake(payload)
      else if (payload.startsWith('beat:')) this.#events.beat(payload.slice(5))
      else this.#events.lanes()
    })
    try {
      await client.connect()
      await client.query('listen waybill_wake; listen waybill_lanes')
      if (this.#client === client) this.#events.connected()
    } catch (error) {
      this.#lost(client, error)
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => undefined)
  }

  #lost(client: pg.Client, error: unknown): void {
    if (this.#client !== client || this.#stopped) return
    this.#client = undefined
    this.#events.lost()
    this.#logger.warn({ err: error }, 'not listening: polling until the connection is back')
    client.end().catch(() => undefined)
    this.#timer = setTimeout(() => void this.start(), retryMs)
  }
}
