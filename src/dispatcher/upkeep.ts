import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { noteCluster } from '../outbox/rebase.js'
import { runMaintenance, type MaintenanceSettings } from '../outbox/retention/index.js'
import { takeTick } from '../outbox/tick.js'
import { countUnrouted } from '../outbox/unrouted.js'
import type { DispatcherLogger } from './hooks.js'
import type { Ticker } from './ticker.js'

export interface UpkeepOptions {
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly ticker: Ticker
  readonly settings: MaintenanceSettings
}

/** Between passes while the log moves. */
const passMs = 300_000
/** Between passes while it does not: an idle dispatcher asks next to nothing. */
const idlePassMs = 3_600_000
const firstPassMs = 5_000

/** Partitions ahead, what is past retention, unrouted messages: one dispatcher at a time does it. */
export class Upkeep {
  readonly #o: UpkeepOptions
  readonly #abort = new AbortController()
  #loop: Promise<void> | undefined

  constructor(options: UpkeepOptions) {
    this.#o = options
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#abort.abort()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { clock, ticker } = this.#o
    const { signal } = this.#abort
    let seen: number | undefined
    let ranAt = -Infinity
    await clock.sleep(firstPassMs * (0.5 + Math.random()), signal)
    while (!signal.aborted) {
      const tip = ticker.latest?.ceiling
      if (seen === undefined || tip !== seen || clock.monotonic() - ranAt >= idlePassMs) {
        await this.#pass()
        seen = tip ?? 0
        ranAt = clock.monotonic()
      }
      await clock.sleep(passMs, signal)
    }
  }

  async #pass(): Promise<void> {
    const { pool, clock, logger, settings } = this.#o
    const { signal } = this.#abort
    try {
      await noteCluster(pool)
      const { tasks } = await runMaintenance(pool, settings, { signal, clock })
      for (const { task, error } of tasks)
        if (error && !signal.aborted) logger.error({ task, err: error }, 'maintenance failed')
      // a tick of its own: floors of those that lanes read by may lie below the last messages, for ever where none follow. It
      // begins from nothing: what the ticker knew may be another server's by now
      const { floor } = await takeTick(pool, 0)
      const unrouted = await countUnrouted(pool, floor)
      if (unrouted > 0) logger.warn({ unrouted }, 'messages that no route wants were published')
    } catch (error) {
      if (!signal.aborted) logger.error({ err: error }, 'maintenance failed')
    }
  }
}
