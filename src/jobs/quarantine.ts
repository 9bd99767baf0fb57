import type { Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import type { QueueRunner } from './queue-runner.js'
import type { JobLogger } from './types.js'

export interface QuarantineOptions {
  readonly runners: () => readonly QueueRunner[]
  readonly everyMs: number
  /** How long what runs already is waited for. */
  readonly patienceMs: number
  readonly clock: Clock
  readonly logger: JobLogger
}

const lookMs = 20

/**
 * Runs jobs alone that may be what ends workers: two died while they ran them. While one runs this worker runs nothing else,
 * so that its next death says which job it was, and charges no other. What runs already is waited for, though not for ever:
 * a job may take days, and the suspected one would never run.
 */
export class Quarantine {
  readonly #options: QuarantineOptions

  constructor(options: QuarantineOptions) {
    this.#options = options
  }

  /** Looks now and then until `stopping`. Never rejects. */
  async run(stopping: AbortSignal): Promise<void> {
    const { runners, everyMs, clock, logger } = this.#options
    while (!stopping.aborted) {
      await clock.sleep(everyMs, stopping)
      try {
        for (const runner of runners()) {
          while (!stopping.aborted && (await runner.runSuspected(() => this.#alone(stopping)))) {
            // the next one
          }
        }
      } catch (error) {
        logger.warn(
          { code: codeOf(error), error: messageOf(error) },
          'running a job alone that may end workers failed; trying again',
        )
      } finally {
        for (const runner of runners()) runner.resume()
      }
    }
  }

  /** Resolves when nothing runs but the suspected job, or patience is at its end. */
  async #alone(stopping: AbortSignal): Promise<void> {
    const { runners, patienceMs, clock } = this.#options
    for (const runner of runners()) runner.pause()
    const deadline = clock.monotonic() + patienceMs
    const taken = (): number => runners().reduce((sum, runner) => sum + runner.taken, 0)
    while (taken() > 1 && clock.monotonic() < deadline && !stopping.aborted) await clock.sleep(lookMs, stopping)
  }
}
