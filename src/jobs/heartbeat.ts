import { type Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import { type JobStore, type WorkerIdentity } from './job-store.js'
import { LeaseWatch, type WatchedWorker } from './lease-watch.js'
import { Session } from './session.js'
import { type JobLogger } from './types.js'
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
    const answer = await store.beat(this.#session.id, this.#session.claims())
    if (answer === undefined) {
      logger.warn({ worker: this.#session.id }, 'another worker took the jobs of this one; going on under a new id')
      onLost()
      this.#registered = false
      this.#session = new Session()
      return this.register()
    }
    this.#aliveAt = sentAt
    if (answer.recovered > 0)
      logger.warn({ jobs: answer.recovered }, 'took back jobs whose claim the worker knew nothing of')
    for (const worker of this.#watch.observe(answer.workers, clock.monotonic())) await this.#endOther(worker)
  }

  async #endOther({ id, beat, leaseMs }: WatchedWorker): Promise<void> {
    if (id === this.#session.id) return
    const reason = `worker ${id} was silent for its lease of ${leaseMs} ms`
    const jobs = await this.#options.store.endWorker(id, beat, 'WORKER_LOST', reason)
    if (jobs !== undefined)
      this.#options.logger.warn({ worker: id, jobs }, 'a worker is gone; its jobs were taken back')
  }
}
