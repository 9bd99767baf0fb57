import type pg from 'pg'
import type { Beat } from '../outbox/dispatcher-store.js'
import { recoverSequence } from '../outbox/sequence-recovery.js'
import type { DispatcherLogger } from './hooks.js'
import type { Ticker } from './ticker.js'

export interface SequenceWatchOptions {
  readonly pool: pg.Pool
  readonly logger: DispatcherLogger
  readonly ticker: Ticker
  /** Lanes start again from what is stored: nothing that they know holds. */
  readonly resetLanes: (reason: string) => void
}

/**
 * Looks at the log's sequence with each heartbeat. Where it was set back, or given a cache, messages get seqs below the
 * floors of the lanes, where no lane looks: nothing is read before it is mended.
 */
export class SequenceWatch {
  readonly #o: SequenceWatchOptions
  #broken = false

  constructor(options: SequenceWatchOptions) {
    this.#o = options
  }

  /** For a start, and for what a dispatcher that died in the middle of mending has left. */
  async recover(): Promise<void> {
    const { reread } = await recoverSequence(this.#o.pool)
    if (reread.length === 0) return
    this.#o.logger.error({ lanes: reread.map((r) => r.laneId) }, 'seqs had been used again: these lanes read again')
  }

  /** `known`: what the ticker had seen drawn before the heartbeat; one that is taken meanwhile has seen more than the answer. */
  async look(seen: Beat, known: Ticker['reached']): Promise<void> {
    const { ticker } = this.#o
    const { last } = seen.sequence
    if (ticker.latest && last > ticker.latest.ceiling) ticker.look()
    // not floors alone, which may lie 1,000 below: what is drawn a second time is hidden from looks until it is past that
    const reached = Math.max(known?.nonce === seen.nonce ? known.drawn : 0, seen.storedFloor)
    this.#broken ||= seen.sequenceCache !== 1 || last < reached
    if (this.#broken) await this.#mend(seen, reached)
  }

  async #mend({ sequence, sequenceCache }: Beat, reached: number): Promise<void> {
    const { pool, logger, ticker, resetLanes } = this.#o
    const what = 'the log sequence was set back or given a cache'
    logger.error({ last: sequence.last, reached, cache: sequenceCache }, `${what}: mending it`)
    resetLanes(what)
    const { after, reread, lowestReused } = await recoverSequence(pool)
    this.#broken = !after.ok
    ticker.forgetReached()
    logger.error(
      { ...after, lowestReused, lanes: reread.map((r) => r.laneId) },
      'the log sequence is mended; these lanes read again',
    )
  }
}
