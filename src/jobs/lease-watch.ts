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
 * A watcher that was itself cut off or frozen has not seen them stand still: of a gap between two looks only so much
 * counts. Otherwise the first worker to reach a database that comes back would take the jobs of all others.
 */
export class LeaseWatch {
  readonly #maxStepMs: number
  readonly #still = new Map<string, { readonly beat: number; readonly ms: number }>()
  #lastAt: number | undefined

  /** `maxStepMs`: what counts, at most, of the time between two looks. */
  constructor(maxStepMs: number) {
    this.#maxStepMs = maxStepMs
  }

  /** Takes what was seen at monotonic time `at`; gives the workers that may be ended. */
  observe(workers: readonly WatchedWorker[], at: number): WatchedWorker[] {
    const step = Math.min(at - (this.#lastAt ?? at), this.#maxStepMs)
    this.#lastAt = at
    const present = new Set(workers.map(({ id }) => id))
    for (const id of this.#still.keys()) if (!present.has(id)) this.#still.delete(id)
    return workers.filter(({ id, beat, leaseMs }) => {
      const seen = this.#still.get(id)
      const ms = seen?.beat === beat ? seen.ms + step : 0
      this.#still.set(id, { beat, ms })
      return ms >= leaseMs
    })
  }
}
