import type { Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import type { JobStore, WorkerIdentity } from './job-store.js'
import { LeaseWatch, type WatchedWorker } from './lease-watch.js'
import { Session } from './session.js'
import type { JobLogger } from './types.js'
import { Wake } from './wake.js'

export interface HeartbeatOptions {
  readonly store: JobStore
  readonly identity: Omit<WorkerIdentity, 'id'>
  readonly clock: Clock
  readonly logger: JobLogger
  /** Others may have taken this worker's jobs. */
  readonly onLost: () => void
}

/** Keeps the worker's lease, and ends other workers whose heart stopped. */
export class Heartbeat {
  readonly #options: HeartbeatOptions
  readonly #watch: LeaseWatch
  readonly #intervalMs: number
  readonly #wake = new Wake()
  #session = new Session()
  #registered = false
  #aliveAt = 0
  #reconcileAt = 0

  constructor(options: HeartbeatOptions) {
    this.#options = options
    const { leaseMs } = options.identity
    this.#intervalMs = leaseMs / 3
    this.#watch = new LeaseWatch(leaseMs / 2)
  }

  get session(): Session {
    return this.#session
  }

  async register(): Promise<void> {
    const { store, identity, clock } = this.#options
    const at = clock.monotonic()
    await store.register({ ...identity, id: this.#session.id })
    this.#registered = true
    this.#aliveAt = at
  }

  /** A fetch was told that the worker is not known: look at once. */
  lookNow(): void {
    this.#wake.wake()
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.#options
    while (!signal.aborted) {
      await this.#wake.sleep(this.#intervalMs, clock, signal)
      if (signal.aborted) return
      try {
        await this.#beat()
        // not waited for: the next beat must not be late
        void this.#reconcile()
      } catch (error) {
        logger.warn({ code: codeOf(error), error: messageOf(error) }, "the worker's heartbeat failed; trying again")
        if (clock.monotonic() - this.#aliveAt >= this.#options.identity.leaseMs) this.#options.onLost()
      }
    }
  }

  /** Gives back what the worker still holds, and its registration. */
  async end(): Promise<number> {
    if (!this.#registered) return 0
    const { store } = this.#options
    return (
      (await store.endWorker(this.#session.id, null, 'WORKER_STOPPED', 'its worker stopped before the job ended')) ?? 0
    )
  }

  async #beat(): Promise<void> {
    const { store, clock, logger, onLost } = this.#options
    if (!this.#registered) return this.register()
    const sentAt = clock.monotonic()
    const workers = await store.beat(this.#session.id)
    if (workers === undefined) {
      logger.warn({ worker: this.#session.id }, 'another worker took the jobs of this one; going on under a new id')
      onLost()
      this.#registered = false
      this.#session = new Session()
      return this.register()
    }
    this.#aliveAt = sentAt
    for (const worker of this.#watch.observe(workers, clock.monotonic())) await this.#endOther(worker)
  }

  /**
   * Apart from the beat, so that it can't cost the lease: with a transaction held open for long it walks past all that
   * this worker did since. For the same reason at most a twentieth of the time goes into it.
   */
  async #reconcile(): Promise<void> {
    const { store, clock, logger, identity } = this.#options
    const startedAt = clock.monotonic()
    if (!this.#registered || startedAt < this.#reconcileAt) return
    // one at a time
    this.#reconcileAt = Infinity
    try {
      const jobs = await store.reconcile(this.#session.id, this.#session.claims())
      if (jobs > 0) logger.warn({ jobs }, 'took back jobs whose claim the worker knew nothing of')
    } catch (error) {
      logger.warn(
        { code: codeOf(error), error: messageOf(error) },
        "comparing the worker's claims failed; trying again",
      )
    }
    const endedAt = clock.monotonic()
    this.#reconcileAt = endedAt + Math.max(identity.leaseMs / 2, 20 * (endedAt - startedAt))
  }

  async #endOther({ id, beat, leaseMs }: WatchedWorker): Promise<void> {
    if (id === this.#session.id) return
    const reason = `worker ${id} was silent for its lease of ${leaseMs} ms`
    const jobs = await this.#options.store.endWorker(id, beat, 'WORKER_LOST', reason)
    if (jobs !== undefined)
      this.#options.logger.warn({ worker: id, jobs }, 'a worker is gone; its jobs were taken back')
  }
}
