import type pg from 'pg'
import type { LaneFence } from '../outbox/lane-store.js'
import { type AwaitKind, writeAwait } from '../outbox/standby-store.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from './hooks.js'

export interface StandbyPauseOptions {
  readonly name: LaneName
  /** As of now. */
  readonly fence: () => Omit<LaneFence, 'nonce'>
  readonly pool: pg.Pool
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  /** The lane's row says that it is paused; by an earlier holder it may say that of the stand-by. */
  readonly written: boolean
}

/**
 * What a lane's row, and the hooks, say of waiting before it reads on: for the stand-by, or until rows are no longer hidden. A pause of
 * another kind stands before that for the stand-by. One for as long as the lane is held: it outlives starts from what is stored.
 */
export class StandbyPause {
  readonly #o: StandbyPauseOptions
  readonly #written: Record<AwaitKind, boolean>
  /** The hooks were told so. */
  #hidden = false
  #writing: Promise<unknown> = Promise.resolve()

  constructor(options: StandbyPauseOptions) {
    this.#o = options
    this.#written = { standby: options.written, hidden: options.written }
  }

  waits(reason: string, kind: AwaitKind = 'standby'): void {
    this.#written[kind] = true
    this.#write(kind, reason)
  }

  /** Costs nothing unless something was written. */
  goesOn(kind: AwaitKind = 'standby'): void {
    if (!this.#written[kind]) return
    this.#written[kind] = false
    this.#write(kind, null)
  }

  // One after another: two at once may arrive in the wrong order. Where the row says something else the hooks do too; but the row
  // itself may be hidden, and then only they can say it.
  #write(kind: AwaitKind, reason: string | null): void {
    const { pool, fence, name, logger } = this.#o
    const hidden = kind === 'hidden' && this.#hidden !== (reason !== null)
    if (kind === 'hidden') this.#hidden = reason !== null
    if (hidden) this.#tell(kind, reason)
    this.#writing = this.#writing
      .then(() => writeAwait(pool, fence(), kind, reason))
      .then((changed) => {
        if (changed && kind !== 'hidden') this.#tell(kind, reason)
      })
      .catch((error: unknown) => {
        this.#written[kind] = true // tried again with what is told next
        logger.warn({ ...name, kind, err: error }, 'could not write down whether the lane waits')
      })
  }

  #tell(kind: AwaitKind, reason: string | null): void {
    const { hooks, name, logger } = this.#o
    callHook(logger, name, () => (reason === null ? hooks.onResume?.(name) : hooks.onPause?.(name, { kind, reason })))
  }
}
