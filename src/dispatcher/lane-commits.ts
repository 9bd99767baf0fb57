import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { type LaneFence, type Queryable, type StoredPosition, commitLane } from '../outbox/lane-store.js'
import type { CommitBuffer } from './commit-buffer.js'
import type { LowWater, Window } from './window.js'

export interface LaneCommitsOptions {
  readonly fence: LaneFence
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly start: StoredPosition
  readonly buffer: CommitBuffer
  readonly window: Window
  /** Deliveries that wait for no pace: after a crash what was not committed is sent again. */
  readonly many: number
  /** `inStep`: every parked row was still as the lane knew it. */
  readonly onCommitted: (committed: { readonly delivered: number; readonly inStep: boolean }) => void
  readonly onEnd: () => void
  readonly fail: (error: unknown) => void
}

/**
 * Commits of a busy lane begin so far apart, in time that passes really: one after the other, each for the few answers that
 * came meanwhile, they would cost the database and this process more than the deliveries do.
 */
const paceMs = 10

/** A cursor that moved past unwanted messages only is stored this often: so far its lag may seem to be more than it is. */
const quietCommitMs = 5000

/** A lane's commits: one at a time, each with the low-water mark and all that left or rejoined the fast path before it. */
export class LaneCommits {
  readonly #o: LaneCommitsOptions
  #position: StoredPosition
  #mark: LowWater | undefined
  #committedAt: number
  /** When the latest commit began, by `performance.now`. */
  #begunAt = -Infinity
  #busy = false
  #told: number
  /** Messages delivered since the lane began. */
  delivered: number
  /** Something was settled since the last commit. */
  progress = false

  constructor(options: LaneCommitsOptions) {
    this.#o = options
    this.#position = options.start
    this.delivered = options.start.delivered
    this.#told = this.delivered
    this.#committedAt = options.clock.monotonic()
  }

  get busy(): boolean {
    return this.#busy
  }

  /** Nothing is being written, and nothing waits to be. */
  get idle(): boolean {
    return !this.#busy && this.#quiet
  }

  /** Moves the low-water mark as far as what is settled allows. */
  advance(): void {
    this.#mark = this.#o.window.advance() ?? this.#mark
  }

  /** Milliseconds until a commit that is kept waiting may begin; Infinity: none is. */
  get waitMs(): number {
    if (this.#busy || this.#quiet) return Infinity
    return Math.max(0, this.#begunAt + paceMs - performance.now())
  }

  /** Nothing but the cursor moved, if anything did. */
  get #quiet(): boolean {
    return this.#o.buffer.empty && !(this.progress && this.#mark)
  }

  /**
   * Starts a commit when there is something to write, none is under way, and the last one was long enough ago. `last`: at
   * once, and a mere move of the cursor too.
   */
  commit(last = false): void {
    const { buffer, clock, many, pool } = this.#o
    if (this.#busy || (buffer.empty && !this.#mark)) return
    const early = this.#quiet
      ? clock.monotonic() - this.#committedAt < quietCommitMs
      : this.waitMs > 0 && this.delivered - this.#told < many
    if (early && !last) return
    this.#run(async () => (await this.#write(pool))())
  }

  /** Runs `work` while no commit does. False: one is under way, nothing was started. */
  exclude(work: () => Promise<void>): boolean {
    if (this.#busy) return false
    this.#run(work)
    return true
  }

  /** Lets `work` write what there is now inside a transaction of its own, in place of a commit. */
  async inTransaction(work: (write: (db: Queryable) => Promise<() => void>) => Promise<() => void>): Promise<void> {
    while (this.#busy) await new Promise((resolve) => setTimeout(resolve, 1))
    this.#busy = true
    try {
      const done = await work((db) => {
        this.advance()
        return this.#write(db)
      })
      done()
    } finally {
      this.#busy = false
      this.#o.onEnd()
    }
  }

  #run(work: () => Promise<void>): void {
    this.#busy = true
    work()
      .catch(this.#o.fail)
      .finally(() => {
        this.#busy = false
        this.#o.onEnd()
      })
  }

  // Writes what there is now; resolves to what to do once it is committed.
  async #write(db: Queryable): Promise<() => void> {
    const { buffer, clock, fence, onCommitted } = this.#o
    const mark = this.#mark
    const { rows, done } = buffer.take()
    const newDelta = mark !== undefined && mark.delta !== this.#position.delta
    const { n } = this.#position
    const position = mark ? { n: n + 1, delta: mark.delta, after: mark.after, delivered: this.delivered } : null
    const { delivered } = this
    this.#mark = undefined
    this.progress = false
    this.#committedAt = clock.monotonic()
    this.#begunAt = performance.now()
    const inStep = await commitLane(db, fence, { position, newDelta, ...rows })
    return () => {
      if (position) this.#position = position
      done()
      onCommitted({ delivered: delivered - this.#told, inStep })
      this.#told = delivered
    }
  }
}
