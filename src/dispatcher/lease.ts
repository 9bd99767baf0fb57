import type { Clock } from '../core/clock.js'

/**
 * A dispatcher's hold on its lanes. It counts from before a heartbeat was sent, by the monotonic clock and, because a
 * suspended machine may stop that one, by the wall clock too. It ends a quarter early: what is being sent then must be
 * through before a taker begins.
 */
export class Lease {
  readonly #clock: Clock
  readonly #leaseMs: number
  #monotonic = -Infinity
  #wall = -Infinity

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock
    this.#leaseMs = leaseMs
  }

  /** Call before a heartbeat is sent; call what it returns when the heartbeat was answered. */
  renewing(): () => void {
    const monotonic = this.#clock.monotonic()
    const wall = this.#clock.now()
    return () => {
      this.#monotonic = monotonic
      this.#wall = wall
    }
  }

  readonly valid = (): boolean => {
    const limit = this.#leaseMs * 0.75
    const wall = this.#clock.now() - this.#wall
    // a wall clock stepped back says nothing; one stepped forward costs a renewal, never a message
    return this.#clock.monotonic() - this.#monotonic < limit && wall < limit
  }
}

/**
 * Watches other dispatchers: one whose beat has not moved for its whole lease, by our own clock, is gone.
 *
 * A watcher that was itself cut off or frozen has not seen them stand still: of the time between two looks only so much
 * counts. Otherwise the first to reach a database that comes back would take the lanes of all others, and give them back.
 */
export class LivenessWatch {
  readonly #clock: Clock
  readonly #maxStepMs: number
  /** `since` and `first`: in time that counts. */
  readonly #seen = new Map<string, { beat: number; since: number; first: number; leaseMs: number }>()
  /** Time that counted up to the last look, and when that was. */
  #counted = 0
  #lookedAt: number | undefined

  /** `maxStepMs`: what counts, at most, of the time between two looks; more than they are apart as a rule. */
  constructor(clock: Clock, maxStepMs: number) {
    this.#clock = clock
    this.#maxStepMs = maxStepMs
  }

  observe(dispatchers: readonly { readonly id: string; readonly beat: number; readonly leaseMs: number }[]): void {
    const now = this.#now()
    this.#counted = now
    this.#lookedAt = this.#clock.monotonic()
    const present = new Set<string>()
    for (const { id, beat, leaseMs } of dispatchers) {
      present.add(id)
      const seen = this.#seen.get(id)
      if (seen?.beat !== beat) this.#seen.set(id, { beat, since: now, first: seen?.first ?? now, leaseMs })
    }
    for (const id of this.#seen.keys()) if (!present.has(id)) this.#seen.delete(id)
  }

  /** Known and moving, as far as was seen. */
  isAlive(id: string): boolean {
    const seen = this.#seen.get(id)
    return seen !== undefined && this.#now() - seen.since <= seen.leaseMs
  }

  /** Milliseconds until the first of those who are alive counts as gone, if nothing is heard of it; Infinity: nobody is. */
  untilLapse(): number {
    const now = this.#now()
    const left = [...this.#seen.values()].map(({ since, leaseMs }) => since + leaseMs - now)
    return Math.min(Infinity, ...left.filter((ms) => ms >= 0))
  }

  /** First seen no longer than its lease ago: about as long as it has watched others itself. */
  isNew(id: string): boolean {
    const seen = this.#seen.get(id)
    return seen === undefined || this.#now() - seen.first <= seen.leaseMs
  }

  #now(): number {
    if (this.#lookedAt === undefined) return this.#counted
    return this.#counted + Math.min(this.#clock.monotonic() - this.#lookedAt, this.#maxStepMs)
  }
}
