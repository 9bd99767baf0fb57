import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { messageOf } from '../core/errors.js'
import { Kick } from '../core/signal-flag.js'
import { stageScheduled } from '../outbox/scheduled-store.js'
import type { DispatcherLogger } from './hooks.js'

export interface StagerOptions {
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  /** Publishers notify: nothing new can be scheduled unseen. */
  readonly asleep: () => boolean
  /** Called when messages were moved into the log. */
  readonly onStaged: () => void
}

const batch = 500
/** While awake: how soon a message that was scheduled meanwhile is seen. */
const awakeMs = 1000
/** While asleep nothing need be looked for but what somebody published without notifying. */
const asleepMs = 60_000
/** A transaction may commit after the time of what it scheduled: rows behind the low-water mark are looked for so often. */
const fullLookMs = 10_000

/** Moves scheduled messages into the log when they are due. Every dispatcher has one; the database lets one at a time work. */
export class Stager {
  readonly #o: StagerOptions
  readonly #kick = new Kick()
  #stopped = false
  #failures = 0
  /** As it was logged; undefined once it went through. */
  #failure: string | undefined
  #told = false
  #loop: Promise<void> | undefined

  constructor(options: StagerOptions) {
    this.#o = options
  }

  /** How often it failed. */
  get failures(): number {
    return this.#failures
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  /** Something may have been scheduled, and its time may have passed while its transaction ran. */
  look(): void {
    this.#told = true
    this.#kick.kick()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#kick.kick()
    await this.#loop
  }

  async #run(): Promise<void> {
    const { pool, clock, logger, asleep, onStaged } = this.#o
    let lowWater: Date | null = null
    let fullAt = -Infinity
    while (!this.#stopped) {
      let wait = awakeMs
      try {
        const full = this.#told || clock.monotonic() - fullAt >= fullLookMs
        this.#told = false
        const { staged, stagedTo, nextInMs } = await stageScheduled(pool, batch, full ? null : lowWater)
        if (stagedTo === null) this.#told ||= full
        else if (full) fullAt = clock.monotonic()
        this.#failure = undefined
        if (staged > 0) onStaged()
        if (staged === batch) {
          this.#told ||= full
          continue
        }
        // where another one is at it nothing was looked at, and rows of its transaction may come back
        if (stagedTo !== null) lowWater = stagedTo
        wait = Math.max(1, Math.min(nextInMs ?? Infinity, asleep() ? asleepMs : awakeMs))
      } catch (error) {
        this.#failures++
        const failure = messageOf(error)
        // once for each reason: it is tried again each second
        if (!this.#stopped && failure !== this.#failure)
          logger.error({ err: error }, 'scheduled messages stay where they are: they could not be moved into the log')
        this.#failure = failure
      }
      await this.#kick.wait(wait)
    }
  }
}
