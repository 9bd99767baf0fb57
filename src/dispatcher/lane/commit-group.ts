import type pg from 'pg'
import { isAnswer } from '../../db/sqlstate.js'
import { type FencedCommit, commitLanes } from '../../outbox/lane-store.js'

/** What one lane wrote in a group's commit, and what it is told of it. */
export interface Joined extends FencedCommit {
  /** It is written. `inStep`: every parked row was still as the lane knew it. */
  readonly done: (inStep: boolean) => void
  /** Nothing of it was written, and others may have been to blame: the lane tries by itself. */
  readonly alone: () => void
  /** Whether it is written is not known. */
  readonly failed: (error: unknown) => void
}

export interface CommitGroupMember {
  /** Takes what there is to write now; undefined: nothing any more. It is asked again only after its outcome. */
  join(): Joined | undefined
}

/**
 * Commits of busy lanes begin so far apart, in time that passes really: one after the other, each for the few answers that
 * came meanwhile, they would cost the database and this process more than the deliveries do.
 */
const paceMs = 10
/** Rows of one commit, at most, but for those of one lane: the lanes behind go with the next. */
const mostRows = 10_000

/**
 * The commits of all lanes of one dispatcher: one at a time, each for every lane that has something to write. Each lane is
 * fenced by itself: one whose row is locked, or that is another dispatcher's now, is left out and tries alone.
 */
export class CommitGroup {
  readonly #pool: pg.Pool
  readonly #waiting = new Set<CommitGroupMember>()
  #urgent = false
  #running = false
  #begunAt = -Infinity
  #timer: NodeJS.Timeout | undefined

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  /** `member` has something to write. `urgent`: it does not wait for the pace. Safe to call again before it joined. */
  ask(member: CommitGroupMember, urgent: boolean): void {
    const more = urgent && !this.#urgent
    if (this.#waiting.has(member) && !more) return
    this.#waiting.add(member)
    this.#urgent ||= urgent
    this.#plan()
  }

  /** It has nothing to write any more. */
  leave(member: CommitGroupMember): void {
    this.#waiting.delete(member)
  }

  #plan(): void {
    if (this.#running || this.#waiting.size === 0) return
    clearTimeout(this.#timer)
    const wait = this.#urgent ? 0 : Math.max(0, this.#begunAt + paceMs - performance.now())
    // never at once: lanes that have answers of the same moment come along
    this.#timer = setTimeout(() => this.#begin(), wait)
  }

  #begin(): void {
    if (this.#running) return
    this.#urgent = false
    const joined: Joined[] = []
    let rows = 0
    for (const member of this.#waiting) {
      if (rows >= mostRows) break
      this.#waiting.delete(member)
      const each = member.join()
      if (!each) continue
      joined.push(each)
      rows += rowsOf(each)
    }
    if (joined.length === 0) return
    this.#begunAt = performance.now()
    this.#running = true
    void this.#commit(joined).finally(() => {
      this.#running = false
      this.#plan()
    })
  }

  async #commit(joined: readonly Joined[]): Promise<void> {
    let written: readonly (boolean | undefined)[]
    try {
      written = await commitLanes(this.#pool, joined)
    } catch (error) {
      for (const { alone, failed } of joined) {
        if (isAnswer(error)) alone()
        else failed(error)
      }
      return
    }
    joined.forEach(({ done, alone }, i) => {
      const inStep = written[i]
      if (inStep === undefined) alone()
      else done(inStep)
    })
  }
}

function rowsOf({ commit: { parked, updated, settled, attempts, receipts } }: Joined): number {
  return parked.length + updated.length + settled.length + attempts.length + receipts.length
}
