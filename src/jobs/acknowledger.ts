import { backoffDelay } from '../core/backoff.js'
import type { Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import { isConnectionError, isTransient } from '../db/sqlstate.js'
import type { JobState } from './job-state.js'
import type { Acknowledgement, JobStore } from './job-store.js'
import type { JobLogger } from './types.js'

interface Waiting {
  readonly ack: Acknowledgement
  readonly answer: (state: JobState | undefined) => void
}

const maxBatch = 500
const retryBackoff = { baseMs: 100, capMs: 5_000 }

/**
 * Sends acknowledgements, one statement at a time: those that come meanwhile go together in the next. One that failed is
 * sent again until it gets through: it is fenced, so that twice does no harm. The slot of its job stays taken meanwhile,
 * which bounds what waits here.
 */
export class Acknowledger {
  readonly #store: JobStore
  readonly #clock: Clock
  readonly #logger: JobLogger
  readonly #giveUp = new AbortController()
  #waiting: Waiting[] = []
  #batch = maxBatch
  #running = false

  constructor(store: JobStore, clock: Clock, logger: JobLogger) {
    this.#store = store
    this.#clock = clock
    this.#logger = logger
  }

  /** The job's new state; undefined when another claim holds it by now, or after `giveUp`. Never rejects. */
  acknowledge(ack: Acknowledgement): Promise<JobState | undefined> {
    return new Promise((answer) => {
      this.#waiting.push({ ack, answer })
      if (!this.#running) void this.#run()
    })
  }

  /** Answers what still waits with undefined, and sends no more. */
  giveUp(): void {
    this.#giveUp.abort()
  }

  async #run(): Promise<void> {
    this.#running = true
    let failures = 0
    // what ends in one turn of the event loop goes in one statement
    await Promise.resolve()
    while (this.#waiting.length > 0 && !this.#giveUp.signal.aborted) {
      const batch = this.#waiting.splice(0, this.#batch)
      try {
        const states = await this.#store.acknowledge(batch.map(({ ack }) => ack))
        for (const { ack, answer } of batch) answer(states.get(ack.id))
        failures = 0
        this.#batch = Math.min(maxBatch, this.#batch * 2)
      } catch (error) {
        failures += 1
        // behind the others, and in smaller batches: one that PostgreSQL refuses must not hold the rest
        this.#waiting.push(...batch)
        if (!isConnectionError(error) && !isTransient(error)) this.#batch = Math.max(1, Math.floor(batch.length / 2))
        this.#logger.warn(
          { jobs: batch.length, code: codeOf(error), error: messageOf(error) },
          'acknowledging jobs failed; trying again',
        )
        await this.#clock.sleep(backoffDelay(failures, retryBackoff), this.#giveUp.signal)
      }
    }
    for (const { answer } of this.#waiting.splice(0)) answer(undefined)
    // in the same turn as the last look at what waits: nothing can come between
    this.#running = false
  }
}
