import { hostname } from 'node:os'
import type pg from 'pg'
import { type Clock, systemClock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import { version } from '../core/version.js'
import { createPool, endPool } from '../db/pool.js'
import { guardLogger, silentLogger } from '../telemetry/logger.js'
import { Acknowledger } from './acknowledger.js'
import { Handlers } from './handlers.js'
import { Heartbeat } from './heartbeat.js'
import { JobStore } from './job-store.js'
import { JobListener } from './listener.js'
import { runJobMaintenance } from './maintenance.js'
import { LeaseLost, WorkerStopping } from './perform-job.js'
import { Quarantine } from './quarantine.js'
import { QueueRunner } from './queue-runner.js'
import type { JobLogger, JobPool, StopOptions, Worker, WorkerOptions } from './types.js'
import { resolveWorkerOptions, type ResolvedWorkerOptions } from './worker-options.js'

/**
 * A worker of the job queue. It begins with `start`.
 *
 * Throws `WAYBILL_JOB_INVALID`, with everything that is wrong, for options that can't work.
 */
export function createWorker(options: WorkerOptions): Worker {
  return new JobWorker(options, resolveWorkerOptions(options))
}

class JobWorker implements Worker {
  readonly #clock: Clock
  readonly #logger: JobLogger
  readonly #ownPool: pg.Pool | undefined
  readonly #acknowledger: Acknowledger
  readonly #heartbeat: Heartbeat
  readonly #runners: readonly QueueRunner[]
  readonly #listener: JobListener | undefined
  readonly #quarantine: Quarantine
  readonly #maintain: (signal: AbortSignal) => Promise<void>
  /** First stage of a stop: fetch no more. */
  readonly #stopping = new AbortController()
  /** Second stage: abort what runs. */
  readonly #aborting = new AbortController()
  /** Last: the heart, the listener and maintenance end. */
  readonly #ending = new AbortController()
  #loops: readonly Promise<void>[] = []
  #background: readonly Promise<void>[] = []
  #started: Promise<void> | undefined
  #stopped: Promise<void> | undefined

  constructor(options: WorkerOptions, { queues, leaseMs, pollMs, retentionMs, backoff }: ResolvedWorkerOptions) {
    const { clock = systemClock, listenUrl } = options
    const logger = guardLogger(options.logger ?? silentLogger)
    this.#clock = clock
    this.#logger = logger
    const handlers = new Handlers(options.handlers)
    const pool: JobPool =
      options.pool ?? (this.#ownPool = openPool(options.connectionString, queues.length + 3, logger))
    const store = new JobStore(pool, Math.min(10_000, leaseMs / 3))
    this.#acknowledger = new Acknowledger(store, clock, logger)
    this.#heartbeat = new Heartbeat({
      store,
      clock,
      logger,
      identity: {
        name: options.name ?? hostname(),
        host: hostname(),
        pid: process.pid,
        version,
        queues: queues.map(({ name }) => name),
        leaseMs,
        names: handlers.names,
      },
      onLost: () => this.#abortRunning(new LeaseLost()),
    })
    this.#listener =
      listenUrl === undefined
        ? undefined
        : new JobListener({
            url: listenUrl,
            store,
            clock,
            logger,
            onJobs: () => this.#runners.forEach((runner) => runner.wake()),
          })
    const shared = { pollMs, backoff, handlers, store, clock, logger, acknowledger: this.#acknowledger }
    this.#runners = queues.map(
      ({ name, concurrency }) =>
        new QueueRunner({ ...shared, queue: name, concurrency, heartbeat: this.#heartbeat, listener: this.#listener }),
    )
    this.#quarantine = new Quarantine({
      runners: () => this.#runners,
      ...{ everyMs: leaseMs / 3, patienceMs: leaseMs, clock, logger },
    })
    this.#maintain = (signal) => runJobMaintenance({ store, retentionMs, clock, logger }, signal)
  }

  get signal(): AbortSignal {
    return this.#aborting.signal
  }

  start(): Promise<void> {
    return (this.#started ??= this.#start())
  }

  stop(options: StopOptions = {}): Promise<void> {
    return (this.#stopped ??= this.#stop(options))
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop()
  }

  async #start(): Promise<void> {
    if (this.#stopping.signal.aborted) return
    await this.#heartbeat.register()
    const ending = this.#ending.signal
    this.#background = [this.#heartbeat.run(ending), this.#maintain(ending)]
    if (this.#listener !== undefined) this.#background = [...this.#background, this.#listener.run(ending)]
    const stopping = this.#stopping.signal
    this.#loops = this.#runners.map((runner) => runner.run(stopping))
    // a handler that never ends must not keep stop from it: its job is among those that are drained, and no more
    void this.#quarantine.run(stopping)
  }

  async #stop({ drainMs = 30_000, abortMs = 5_000 }: StopOptions): Promise<void> {
    this.#stopping.abort()
    // a start that failed has told its caller; there is nothing to stop then but the pool
    await this.#started?.catch(() => undefined)
    await Promise.all(this.#loops)
    if (!(await this.#idleWithin(drainMs))) {
      this.#abortRunning(new WorkerStopping())
      this.#aborting.abort(new WorkerStopping())
      await this.#idleWithin(abortMs)
    }
    this.#aborting.abort(new WorkerStopping())
    this.#acknowledger.giveUp()
    this.#ending.abort()
    await Promise.all(this.#background)
    try {
      const jobs = await this.#heartbeat.end()
      if (jobs > 0) this.#logger.warn({ jobs }, 'the worker stopped before these jobs ended; they were given back')
    } catch (error) {
      this.#logger.warn(
        { code: codeOf(error), error: messageOf(error) },
        'the worker could not sign off; others take its jobs back after its lease',
      )
    }
    if (this.#ownPool) await endPool(this.#ownPool)
  }

  #abortRunning(reason: Error): void {
    for (const runner of this.#runners) runner.abort(reason)
  }

  async #idleWithin(ms: number): Promise<boolean> {
    const deadline = this.#clock.monotonic() + ms
    const never = new AbortController().signal
    const idle = (): boolean => this.#runners.every(({ taken }) => taken === 0)
    for (let wait = 1; !idle(); wait = Math.min(50, wait * 2)) {
      const left = deadline - this.#clock.monotonic()
      if (left <= 0) return false
      await this.#clock.sleep(Math.min(wait, left), never)
    }
    return true
  }
}

function openPool(connectionString: string, max: number, logger: JobLogger): pg.Pool {
  return createPool({
    connectionString,
    max,
    applicationName: 'waybill jobs',
    onError: (error) => logger.debug({ code: codeOf(error), error: error.message }, 'an idle connection ended'),
  })
}
