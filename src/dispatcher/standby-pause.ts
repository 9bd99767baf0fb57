import type pg from 'pg'
import type { LaneFence } from '../outbox/lane-store.js'
import { writeAwait } from '../outbox/standby-store.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from './hooks.js'

export interface StandbyPauseOptions {
  readonly name: LaneName
  readonly fence: Omit<LaneFence, 'nonce'>
  readonly pool: pg.Pool
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  /** The lane's row says that it is paused; by an earlier holder it may say that of the stand-by. */
  readonly written: boolean
}

/**
 * What a lane's row, and the hooks, say of waiting for the stand-by. A pause of another kind stands before it. One for as
 * long as the lane is held: it outlives starts from what is stored.
 */
export class StandbyPause {
  readonly #o: StandbyPauseOptions
  #written: boolean
  #writing: Promise<unknown> = Promise.resolve()

  constructor(options: StandbyPauseOptions) {
    this.#o = options
    this.#written = options.written
  }

  waits(reason: string): void {
    this.#written = true
    this.#write(reason)
  }

  /** Costs nothing unless something was written. */
  goesOn(): void {
    if (!this.#written) return
    this.#written = false
    this.#write(null)
  }

  // One after another: two at once may arrive in the wrong order. Where the row says something else the hooks do too.
  #write(reason: string | null): void {
    const { pool, fence, hooks, name, logger } = this.#o
    this.#writing = this.#writing
      .then(() => writeAwait(pool, fence, reason))
      .then((changed) => {
        if (!changed) return
        callHook(logger, name, () =>
          reason === null ? hooks.onResume?.(name) : hooks.onPause?.(name, { kind: 'standby', reason }),
        )
      })
      .catch((error: unknown) => {
        this.#written = true // tried again with what is told next
        logger.warn({ ...name, err: error }, 'could not write down whether the lane waits for the stand-by')
      })
  }
}
