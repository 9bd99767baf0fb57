import { SteadyClient } from '../db/steady-client.js'
import { backoffDelay } from '../core/backoff.js'
import type { Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import { hangUp } from '../db/hang-up.js'
import type { JobStore } from './job-store.js'
import type { JobLogger } from './types.js'

export interface JobListenerOptions {
  /** A direct connection: LISTEN is session state. */
  readonly url: string
  readonly store: JobStore
  readonly clock: Clock
  readonly logger: JobLogger
  readonly onJobs: () => void
}

const reconnectBackoff = { baseMs: 500, capMs: 30_000 }

/** Hears of new jobs while the worker sleeps. A hint: polling finds them too, later. */
export class JobListener {
  readonly #options: JobListenerOptions
  #listening = false
  #armed = false

  constructor(options: JobListenerOptions) {
    this.#options = options
  }

  /**
   * Asks for a notification at the next insert. True when that is new: the caller looks once more before it sleeps.
   * False when it was asked for already, or can't be.
   */
  async arm(): Promise<boolean> {
    if (this.#armed || !this.#listening) return false
    await this.#options.store.fallAsleep()
    this.#armed = true
    return true
  }

  /** Listens until `signal` aborts, connecting again when the session ends. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#session(signal, () => (failures = 0))
      } catch (error) {
        failures += 1
        logger.warn({ code: codeOf(error), error: messageOf(error) }, 'listening for jobs failed; polling goes on')
      }
      this.#listening = this.#armed = false
      await clock.sleep(backoffDelay(failures, reconnectBackoff), signal)
    }
  }

  async #session(signal: AbortSignal, onReady: () => void): Promise<void> {
    const { url, store, onJobs, logger } = this.#options
    const client = new SteadyClient({
      connectionString: url,
      application_name: 'waybill jobs listener',
      connectionTimeoutMillis: 10_000,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    })
    const ended = new Promise<void>((resolve, reject) => {
      client.on('error', reject)
      client.on('end', resolve)
      signal.addEventListener('abort', () => resolve(), { once: true })
    })
    // an error while connecting is thrown by connect; nobody waits for this one then
    ended.catch(() => undefined)
    client.on('notification', ({ payload }) => {
      this.#armed = false
      onJobs()
      store.wakeUp(payload ?? '0').catch((error: unknown) => {
        logger.debug({ code: codeOf(error), error: messageOf(error) }, 'saying that the worker is awake failed')
      })
    })
    try {
      await client.connect()
      await client.query('listen waybill_jobs')
      this.#listening = true
      onReady()
      await ended
    } finally {
      client.removeAllListeners('error').on('error', () => undefined)
      await hangUp(client)
    }
  }
}
