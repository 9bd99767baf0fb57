/** A worker as a heartbeat's answer lists it. */
export interface WatchedWorker {
  readonly id: string
  readonly beat: number
  readonly leaseMs: number
}

/**
 * Finds workers whose heart stopped: their beat stood still for a whole lease of theirs by the watcher's own monotonic
 * clock. No wall clock and no time of the database's is compared.
 *
 * A watcher that was itself cut off or frozen has not seen them stand still: after a gap it begins anew. Otherwise the
 * first worker to reach a database that comes back would take the jobs of all others.
 */
export class LeaseWatch {
  readonly #maxGapMs: number
  readonly #since = new Map<string, { beat: number; at: number }>()
  #lastAt: number | undefined

  /** `maxGapMs`: observations further apart than this don't count as watching. */
  constructor(maxGapMs: number) {
    this.#maxGapMs = maxGapMs
  }

  /** Takes what was seen at monotonic time `at`; gives the workers that may be ended. */
  observe(workers: readonly WatchedWorker[], at: number): WatchedWorker[] {
    if (this.#lastAt !== undefined && at - this.#lastAt > this.#maxGapMs) this.#since.clear()
    this.#lastAt = at
    const present = new Set(workers.map(({ id }) => id))
    for (const id of this.#since.keys()) if (!present.has(id)) this.#since.delete(id)
    return workers.filter(({ id, beat, leaseMs }) => {
      const seen = this.#since.get(id)
      if (seen?.beat === beat) return at - seen.at >= leaseMs
      this.#since.set(id, { beat, at })
      return false
    })
  }
}
