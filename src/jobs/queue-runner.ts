import { backoffDelay, type BackoffSettings } from '../core/backoff.js'
import type { Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import { staleHolder } from '../db/sqlstate.js'
import type { Acknowledger } from './acknowledger.js'
import type { HandledNames, Handlers } from './handlers.js'
import type { Heartbeat } from './heartbeat.js'
import type { FetchedJob, JobStore } from './job-store.js'
import type { JobListener } from './listener.js'
import { performJob } from './perform-job.js'
import type { Session } from './session.js'
import type { JobHandlerOptions, JobLogger } from './types.js'
import { Wake } from './wake.js'

export interface QueueRunnerOptions {
  readonly queue: string
  readonly concurrency: number
  readonly pollMs: number
  readonly backoff: BackoffSettings
  readonly handlers: Handlers
  readonly store: JobStore
  readonly acknowledger: Acknowledger
  readonly heartbeat: Heartbeat
  readonly listener: JobListener | undefined
  readonly clock: Clock
  readonly logger: JobLogger
}

const errorBackoff = { baseMs: 100, capMs: 5_000 }
const firstIdleMs = 20
/** A fetch from the beginning takes this share of the time at most. */
const walkShare = 20
/** A job that was inserted so long before its transaction ended is found by a walk only, while others' jobs lie before it. */
const commitsWithinMs = 2_000
/** Names that a queue's worker tells of. */
const maxWarned = 1_000

interface Handled {
  readonly job: FetchedJob
  readonly handler: JobHandlerOptions
}

/** Fetches jobs of one queue, as many as have a slot, and runs them. */
export class QueueRunner {
  readonly #options: QueueRunnerOptions
  readonly #running = new Set<AbortController>()
  readonly #wake = new Wake()
  readonly #marks: (Date | null)[] = [null, null, null, null]
  #taken = 0
  #paused = false
  #nextWalkAt = 0
  #idleMs = firstIdleMs
  /** What a fetch asks for, once it has brought a job that there is no handler for. */
  #names: HandledNames | undefined
  readonly #warned = new Set<string>()

  constructor(options: QueueRunnerOptions) {
    this.#options = options
  }

  /** Slots that are taken: jobs claimed, running, or being acknowledged. */
  get taken(): number {
    return this.#taken
  }

  /** Ends a sleep: there may be jobs. */
  wake(): void {
    this.#idleMs = firstIdleMs
    this.#wake.wake()
  }

  /** Fetches no more until `resume`; what runs goes on. */
  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.wake()
  }

  /**
   * Runs one job that is to run alone, if there is one; false: there is none. `alone` is called when it is claimed and before it
   * starts. Resolves when it has ended. Rejects when the database does not answer: the heartbeat then takes it back.
   */
  async runSuspected(alone: () => Promise<void>): Promise<boolean> {
    const { store, queue, heartbeat, handlers, logger } = this.#options
    const session = heartbeat.session
    const claim = session.claim(1)
    let taken = 0
    let begun = false
    try {
      const beginning = [null, null, null, null]
      const [job] = await store.fetch(session.id, claim, queue, 1, beginning, handlers.names, true)
      // not before: a turn that found its only slot taken by a mere look waited for ever
      this.#taken += taken = job ? 1 : 0
      const handler = job && handlers.find(job.name)
      if (!job || !handler) return false
      logger.warn({ queue, job: job.id, name: job.name }, 'workers ended while they ran this job: it runs alone')
      await alone()
      const attempt = (await store.start(claim, [job.id])).get(job.id)
      if (attempt === undefined) return true
      begun = true
      await this.#perform(job, handler, attempt, session, claim)
      return true
    } finally {
      if (!begun) {
        session.settle(claim, 1)
        this.#taken -= taken
        if (taken > 0) this.#wake.wake()
      }
    }
  }

  /** Aborts the signals of all that runs. */
  abort(reason: Error): void {
    for (const controller of this.#running) controller.abort(reason)
  }

  /** Fetches until `stopping`; what runs then goes on. Never rejects. */
  async run(stopping: AbortSignal): Promise<void> {
    const { clock, logger, queue } = this.#options
    let failures = 0
    while (!stopping.aborted) {
      try {
        await this.#turn(stopping)
        failures = 0
      } catch (error) {
        failures += 1
        if (codeOf(error) === staleHolder) this.#options.heartbeat.lookNow()
        else logger.warn({ queue, code: codeOf(error), error: messageOf(error) }, 'fetching jobs failed; trying again')
        await clock.sleep(backoffDelay(failures, errorBackoff), stopping)
      }
    }
  }

  async #turn(stopping: AbortSignal): Promise<void> {
    const { clock, concurrency, pollMs, listener } = this.#options
    const free = concurrency - this.#taken
    if (free <= 0 || this.#paused) return this.#wake.wait(stopping)
    const startedAt = clock.monotonic()
    const walk = startedAt >= this.#nextWalkAt
    const found = await this.#fetch(free, walk, stopping)
    const now = clock.monotonic()
    if (walk) this.#nextWalkAt = now + walkShare * (now - startedAt)
    if (found > 0) this.#idleMs = firstIdleMs
    if (found === free || stopping.aborted) return
    // only a fetch from the beginning knows that there is nothing
    if (!walk) return this.#wake.sleep(Math.min(pollMs, this.#nextWalkAt - now), clock, stopping)
    // inserted before the ticket was drawn, nothing tells of it: look once more
    if (found === 0 && listener !== undefined && (await listener.arm())) return
    await this.#wake.sleep(this.#idleMs, clock, stopping)
    this.#idleMs = Math.min(pollMs, this.#idleMs * 2)
  }

  /** How many jobs came. */
  async #fetch(limit: number, walk: boolean, stopping: AbortSignal): Promise<number> {
    const { store, queue, heartbeat, handlers } = this.#options
    const session = heartbeat.session
    const claim = session.claim(limit)
    this.#taken += limit
    let jobs: FetchedJob[] = []
    try {
      const marks = walk ? [null, null, null, null] : this.#marks
      const names = this.#names
      const seenTo = walk && names !== undefined ? (await store.now()).getTime() - commitsWithinMs : undefined
      jobs = await store.fetch(session.id, claim, queue, limit, marks, names)
      jobs.sort((a, b) => a.priority - b.priority || a.run_at.getTime() - b.run_at.getTime())
      for (const { priority, run_at } of jobs) this.#marks[priority] = run_at
      // past those that are left to others: there may be many, and the next walk looks at them again
      if (seenTo !== undefined && jobs.length < limit) this.#marks.fill(new Date(seenTo))
    } finally {
      // a fetch that failed may have claimed all the same: the heartbeat takes back what nobody knows of
      this.#free(session, claim, limit - jobs.length)
    }
    const own: Handled[] = []
    const others: FetchedJob[] = []
    for (const job of jobs) {
      const handler = handlers.find(job.name)
      if (handler === undefined) others.push(job)
      else own.push({ job, handler })
    }
    await Promise.all([
      others.length > 0 && this.#leave(others, session, claim, stopping),
      own.length > 0 && this.#start(own, session, claim, stopping),
    ])
    return jobs.length
  }

  /** Gives jobs that there is no handler for to workers that have one: at once and uncharged. They are not fetched again. */
  async #leave(jobs: readonly FetchedJob[], session: Session, claim: string, stopping: AbortSignal): Promise<void> {
    const { handlers, logger, queue } = this.#options
    this.#names = handlers.names
    for (const { name } of jobs) {
      if (this.#warned.has(name) || this.#warned.size >= maxWarned) continue
      this.#warned.add(name)
      logger.warn(
        { queue, name, handlers: handlers.names.exact, patterns: handlers.names.patterns },
        'this worker has no handler for jobs of this name; they are left to workers that have one',
      )
    }
    const ids = jobs.map(({ id }) => id)
    await this.#release(session, claim, ids, stopping)
  }

  async #start(jobs: readonly Handled[], session: Session, claim: string, stopping: AbortSignal): Promise<void> {
    const { store, clock, logger, queue } = this.#options
    const ids = jobs.map(({ job }) => job.id)
    for (let failures = 0; !stopping.aborted; failures++) {
      try {
        const attempts = await store.start(claim, ids)
        for (const { job, handler } of jobs) {
          const attempt = attempts.get(job.id)
          if (attempt === undefined) this.#free(session, claim, 1)
          else void this.#perform(job, handler, attempt, session, claim)
        }
        return
      } catch (error) {
        // starting is idempotent: whether the first call got through does not matter
        logger.warn(
          { queue, jobs: ids.length, code: codeOf(error), error: messageOf(error) },
          'starting jobs failed; trying again',
        )
        await clock.sleep(backoffDelay(failures + 1, errorBackoff), stopping)
      }
    }
    await this.#release(session, claim, ids, stopping)
  }

  /** Tried until it gets through: what is released twice is not changed twice. Once more at least when the worker stops. */
  async #release(session: Session, claim: string, ids: readonly string[], stopping: AbortSignal): Promise<void> {
    const { store, clock, logger, queue } = this.#options
    for (let failures = 0, last = false; !last; failures++) {
      last = stopping.aborted
      try {
        await store.release(claim, ids)
        break
      } catch (error) {
        logger.warn(
          { queue, jobs: ids.length, code: codeOf(error), error: messageOf(error) },
          last ? 'releasing jobs failed; the end of the worker does' : 'releasing jobs failed; trying again',
        )
        if (!last) await clock.sleep(backoffDelay(failures + 1, errorBackoff), stopping)
      }
    }
    this.#free(session, claim, ids.length)
  }

  async #perform(
    job: FetchedJob,
    handler: JobHandlerOptions,
    attempt: number,
    session: Session,
    claim: string,
  ): Promise<void> {
    const { queue, backoff, acknowledger, logger } = this.#options
    const abort = new AbortController()
    this.#running.add(abort)
    const { ack, ended } = await performJob(job, { queue, claim, attempt, handler, backoff, abort })
    const state = await acknowledger.acknowledge(ack)
    session.settle(claim)
    const fields = { queue, job: job.id, name: job.name, attempt, code: ack.error?.code }
    if (state === undefined) logger.warn(fields, 'the job was taken from this worker before it was acknowledged')
    else if (state === 'discarded') logger.error(fields, 'the job failed for the last time and was discarded')
    else if (state === 'retryable') logger.warn(fields, 'the job failed and will be retried')
    // a handler that ignores its signal keeps its slot: no more than `concurrency` run at once
    await ended
    this.#running.delete(abort)
    this.#taken -= 1
    this.#wake.wake()
  }

  #free(session: Session, claim: string, slots: number): void {
    session.settle(claim, slots)
    this.#taken -= slots
  }
}
