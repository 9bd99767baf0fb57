import type pg from 'pg'
import type { SeenLane } from '../outbox/dispatcher-store.js'
import { type OpenReshard, advanceReshard, openReshards } from '../outbox/reshard.js'
import type { DispatcherLogger } from './hooks.js'
import type { Ticker } from './ticker.js'

export interface ReshardingOptions {
  readonly pool: pg.Pool
  readonly ticker: Ticker
  readonly logger: DispatcherLogger
  /** A step was taken: lanes are free to be taken. */
  readonly onStep: () => void
}

/**
 * A dispatcher's part in changes of shards: it leaves alone the lanes that rest, and takes the next step when all of
 * them do. Every dispatcher does so; the database lets one of them through.
 */
export class Resharding {
  readonly #o: ReshardingOptions
  #open: readonly OpenReshard[] = []
  #work: Promise<void> | undefined

  constructor(options: ReshardingOptions) {
    this.#o = options
  }

  /** Reads how far they are, when there are any. `lanes`: as the heartbeat has just seen them. */
  async look(lanes: readonly SeenLane[]): Promise<void> {
    this.#open = lanes.some((lane) => lane.state === 'closing') ? await openReshards(this.#o.pool) : []
  }

  /** Whether a lane waits for the next step: nobody is to take it. */
  rests(laneId: number): boolean {
    return this.#open.some((reshard) => reshard.resting.includes(laneId))
  }

  /** Takes the steps that can be taken, beside everything else. */
  advance(): void {
    const ready = this.#open.filter((reshard) => reshard.ready)
    if (ready.length === 0 || this.#work) return
    this.#work = this.#advance(ready).finally(() => (this.#work = undefined))
  }

  async stop(): Promise<void> {
    await this.#work
  }

  async #advance(ready: readonly OpenReshard[]): Promise<void> {
    const { pool, ticker, logger, onStep } = this.#o
    for (const { id, destination } of ready) {
      try {
        const step = await advanceReshard(pool, id, async () => {
          const tick = await ticker.fresh()
          await tick.durable()
          return tick
        })
        if (!step) continue
        logger.info({ destination }, step === 'done' ? 'resharded' : 'resharding: all lanes go on to one tick')
        onStep()
      } catch (error) {
        logger.error({ destination, err: error }, 'could not go on with resharding; trying again')
      }
    }
  }
}
