import type { BackoffSettings } from '../core/backoff.js'
import type { Clock } from '../core/clock.js'

/** A job as its handler sees it. */
export interface Job {
  /** uuid v7. */
  readonly id: string
  /** The message that it came from, the same over replays; its own id when it was inserted directly. */
  readonly messageId: string
  readonly queue: string
  readonly name: string
  readonly key: string | null
  /** The arguments, parsed. */
  readonly args: unknown
  /** The arguments' JSON text, byte for byte as it was given: for numbers that JavaScript can't hold. */
  readonly argsText: string
  readonly headers: Readonly<Record<string, string>>
  /** 1 for the first. */
  readonly attempt: number
  readonly maxAttempts: number
  readonly createdAt: Date
}

export interface JobContext {
  /**
   * Aborted when the job ran out of its time, when the worker stops and no longer waits, and when another worker may
   * have taken the job. `signal.reason` says which.
   */
  readonly signal: AbortSignal
}

/**
 * Performs a job. Returning completes it; throwing fails it, to be retried. Return or throw a `Cancel`, `Discard` or
 * `Snooze` to say otherwise. Runs at least once for each job: write it so that a second time does no harm.
 */
export type JobHandler = (job: Job, context: JobContext) => unknown

export interface JobHandlerOptions {
  readonly run: JobHandler
  /** The job's signal is aborted after this, and the attempt fails. Milliseconds; default: none. */
  readonly timeoutMs?: number
  /** Wait before a retry. Default: the worker's. */
  readonly backoff?: BackoffSettings
}

export interface QueueOptions {
  /** Jobs of this queue that run at once in this worker, 1–1,000. Default 10. */
  readonly concurrency?: number
}

/** The least of a pino logger that a worker uses. */
export interface JobLogger {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
}

/** As much of a `pg.Pool` as a worker uses. Every call is one statement, so that PgBouncer may be between. */
export interface JobPool {
  query(config: { text: string; values: unknown[]; query_timeout?: number }): Promise<{ rows: unknown[] }>
}

interface WorkerSettings {
  /** Queues by name. */
  readonly queues: Readonly<Record<string, QueueOptions>>
  /**
   * Handlers by job name. A name may be a topic pattern: `order.*`, `github.**`. The exact name wins; then the first
   * pattern that fits.
   */
  readonly handlers: Readonly<Record<string, JobHandler | JobHandlerOptions>>
  /**
   * How long this worker may be silent before others take its jobs back. Milliseconds, 500 or more; default 30,000. It
   * must be longer than any handler keeps the event loop busy.
   */
  readonly leaseMs?: number
  /** An idle queue is asked at least so often. Milliseconds, default 1,000. */
  readonly pollMs?: number
  /** A direct connection (no transaction-mode pooler) to LISTEN on, so that idle workers start jobs at once. Default: none. */
  readonly listenUrl?: string
  /** Wait before a retry: full jitter under a ceiling. Default 2 s doubling to 24 h; 20 attempts take about two days. */
  readonly backoff?: BackoffSettings
  /** Completed and cancelled jobs are deleted after this. Milliseconds, default 7 days. */
  readonly retentionMs?: number
  /** Shown in waybill.workers. Default: the host's name. */
  readonly name?: string
  readonly clock?: Clock
  /** Default: silent. Never gets arguments of jobs. */
  readonly logger?: JobLogger
}

/** Either a pool of the caller's, which stays open, or where to connect. */
export type WorkerOptions = WorkerSettings &
  (
    | { readonly pool: JobPool; readonly connectionString?: never }
    | { readonly connectionString: string; readonly pool?: never }
  )

export interface StopOptions {
  /** How long running jobs may go on before they are aborted. Milliseconds, default 30,000. */
  readonly drainMs?: number
  /** How long aborted jobs may take to end before their jobs are given back all the same. Milliseconds, default 5,000. */
  readonly abortMs?: number
}

export interface Worker extends AsyncDisposable {
  /**
   * Registers the worker and begins to fetch. Rejects when that fails at once (`WAYBILL_SCHEMA_MISSING`, no connection);
   * later outages of the database are waited out. A second call does nothing.
   */
  start(): Promise<void>
  /**
   * Stops fetching, waits for running jobs, then aborts them; gives back what has not started, uncharged. Safe to call
   * twice, and before `start`. A stopped worker does not start again.
   */
  stop(options?: StopOptions): Promise<void>
  /** Aborted once the worker no longer waits for running jobs. */
  readonly signal: AbortSignal
}
