import type pg from 'pg'
import { type BackoffSettings, backoffDelay } from '../../core/backoff.js'
import type { Clock } from '../../core/clock.js'
import { codeOf, messageOf } from '../../core/errors.js'
import { isRefusal, isTransient } from '../../db/sqlstate.js'
import {
  type LaneCommit,
  type LaneFence,
  type Queryable,
  type StoredPosition,
  commitLane,
  withoutTexts,
} from '../../outbox/lane-store.js'
import type { CommitBuffer } from './commit-buffer.js'
import type { CommitGroup, Joined } from './commit-group.js'
import type { LowWater, Window } from './window.js'

export interface LaneCommitsOptions {
  readonly fence: LaneFence
  readonly pool: pg.Pool
  /** Of all lanes of the dispatcher. */
  readonly group: CommitGroup
  readonly clock: Clock
  readonly start: StoredPosition
  readonly buffer: CommitBuffer
  readonly window: Window
  /** Deliveries that wait for no pace: after a crash what was not committed is sent again. */
  readonly many: number
  /** `inStep`: every parked row was still as the lane knew it. */
  readonly onCommitted: (committed: { readonly delivered: number; readonly inStep: boolean }) => void
  readonly onEnd: () => void
  /** The database does not take what is to be committed, and why; null: it has taken it. */
  readonly onRefused: (reason: string | null) => void
  /** Aborted when the lane ends: what was refused until then is not committed. */
  readonly signal: AbortSignal
  readonly fail: (error: unknown) => void
}

/** Between tries of a commit that was refused. */
const refusedBackoff: BackoffSettings = { baseMs: 200, capMs: 30_000 }

/** A cursor that moved past unwanted messages only is stored this often: so far its lag may seem to be more than it is. */
const quietCommitMs = 5000

/**
 * A lane's commits: one at a time, each with the low-water mark and all that left or rejoined the fast path before it. They are
 * made together with those of other lanes; by itself the lane makes those that the others' could not take along.
 */
export class LaneCommits {
  readonly #o: LaneCommitsOptions
  #position: StoredPosition
  #mark: LowWater | undefined
  #committedAt: number
  #busy = false
  /** It waits for the group's next commit. */
  #asked = false
  #told: number
  /** Messages delivered since the lane began. */
  delivered: number
  #refused = false
  #givenUp = false
  #over = false
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

  /** The database refuses what is to be committed: until it takes it nothing is to be sent. */
  get refused(): boolean {
    return this.#refused
  }

  /** Nothing is being written, and nothing waits to be. */
  get idle(): boolean {
    return !this.#busy && !this.#asked && (this.#quiet || this.#givenUp)
  }

  /** Moves the low-water mark as far as what is settled allows. */
  advance(): void {
    this.#mark = this.#o.window.advance() ?? this.#mark
  }

  /** Nothing but the cursor moved, if anything did. */
  get #quiet(): boolean {
    return this.#o.buffer.empty && !(this.progress && this.#mark)
  }

  /**
   * Asks for a commit when there is something to write and none is under way. `last`: it waits for no pace, and a mere move of
   * the cursor is written too.
   */
  commit(last = false): void {
    if (!this.#canCommit) return
    const { clock, group, many } = this.#o
    if (this.#quiet && !last && clock.monotonic() - this.#committedAt < quietCommitMs) return
    this.#asked = true
    group.ask(this, last || this.delivered - this.#told >= many)
  }

  /** The group's commit begins. */
  join(): Joined | undefined {
    this.#asked = false
    this.advance()
    if (!this.#canCommit) return undefined
    this.#busy = true
    const { fence, pool, fail } = this.#o
    const { rows, committed } = this.#take()
    return {
      fence,
      commit: rows,
      done: (inStep) => {
        committed(inStep)
        this.#ended()
      },
      alone: () =>
        this.#run(async () => {
          const inStep = await this.#commit(pool, rows)
          if (inStep !== undefined) committed(inStep)
        }),
      failed: (error) => {
        fail(error)
        this.#ended()
      },
    }
  }

  /** The lane ends: nothing more is committed but what is under way. */
  end(): void {
    this.#over = true
    this.#asked = false
    this.#o.group.leave(this)
  }

  get #canCommit(): boolean {
    return !this.#busy && !this.#givenUp && !this.#over && (!this.#o.buffer.empty || this.#mark !== undefined)
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
      const done = await work(async (db) => {
        this.advance()
        const { rows, committed } = this.#take()
        const inStep = await commitLane(db, this.#o.fence, rows)
        return () => committed(inStep)
      })
      done()
    } finally {
      this.#ended()
    }
  }

  #run(work: () => Promise<void>): void {
    this.#busy = true
    void work()
      .catch(this.#o.fail)
      .finally(() => this.#ended())
  }

  #ended(): void {
    this.#busy = false
    this.#o.onEnd()
  }

  // A commit that is refused wrote nothing. The same rows are tried again, first without the texts that came from outside,
  // and nothing is sent meanwhile: begun again from what is stored, the lane would send its window for each refusal (27 times
  // in 8 s for half a surrogate pair). Undefined: the lane has ended before they were taken.
  async #commit(pool: pg.Pool, rows: LaneCommit): Promise<boolean | undefined> {
    const { clock, fence, onRefused, signal } = this.#o
    let attempt = rows
    for (let tries = 1; ; tries++) {
      try {
        const inStep = await commitLane(pool, fence, attempt)
        if (this.#refused) onRefused(null)
        this.#refused = false
        return inStep
      } catch (error) {
        if (!isRefusal(error)) throw error
        this.#refused = true
        if (tries > 1 && !isTransient(error)) onRefused(refusalReason(error))
        else if (tries > 3) onRefused(refusalReason(error))
        if (!isTransient(error)) attempt = withoutTexts(rows)
        if (tries > 1) await clock.sleep(backoffDelay(tries - 1, refusedBackoff), signal)
        if (!signal.aborted) continue
        this.#givenUp = true
        return undefined
      }
    }
  }

  // What there is now, and what to call once it is committed.
  #take(): { rows: LaneCommit; committed: (inStep: boolean) => void } {
    const { buffer, clock, onCommitted } = this.#o
    const mark = this.#mark
    const { rows, done } = buffer.take()
    const newDelta = mark !== undefined && mark.delta !== this.#position.delta
    const { n } = this.#position
    // a parked delivery that gets through moves no cursor, and is counted all the same
    const counted = this.delivered === this.#told ? undefined : this.#position
    const at = mark ?? counted
    const position = at ? { n: n + 1, delta: at.delta, after: at.after, delivered: this.delivered } : null
    const { delivered } = this
    this.#mark = undefined
    this.progress = false
    this.#committedAt = clock.monotonic()
    return {
      rows: { position, newDelta, ...rows },
      committed: (inStep) => {
        if (position) this.#position = position
        done()
        onCommitted({ delivered: delivered - this.#told, inStep })
        this.#told = delivered
      },
    }
  }
}

function refusalReason(error: unknown): string {
  const sqlstate = codeOf(error) ?? ''
  // a data exception (class 22) quotes what it did not like
  const words = sqlstate.startsWith('22') ? 'a value was refused' : messageOf(error)
  return `COMMIT_REFUSED: SQLSTATE ${sqlstate}: ${words}; what was delivered is kept and nothing is sent until the database takes it`
}
