import { backoffDelay, type BackoffSettings } from '../core/backoff.js'
import { codeOf, messageOf, nameOf, WaybillError } from '../core/errors.js'
import { type Span, whileActive } from '../core/open-telemetry.js'
import { decisionOf } from './decisions.js'
import type { FetchedJob, Acknowledgement } from './job-store.js'
import { endJobSpan, jobSpan } from './trace-job.js'
import type { Job, JobHandlerOptions } from './types.js'

/** Reason with which a job's signal is aborted when its worker stops and no longer waits. */
export class WorkerStopping extends Error {
  constructor() {
    super('the worker is stopping')
    this.name = 'WorkerStopping'
  }
}

/** Reason with which a job's signal is aborted when another worker may have taken the job. */
export class LeaseLost extends Error {
  constructor() {
    super("the worker's lease ended: another worker may have taken this job")
    this.name = 'LeaseLost'
  }
}

export interface PerformContext {
  readonly queue: string
  readonly claim: string
  /** Attempt that the start was charged. */
  readonly attempt: number
  readonly handler: JobHandlerOptions
  /** Of the worker; the handler's own goes before it. */
  readonly backoff: BackoffSettings
  /** The job's own. Others abort it with `WorkerStopping` or `LeaseLost`; running out of time does with the error. */
  readonly abort: AbortController
}

export interface Performed {
  readonly ack: Acknowledgement
  /** Resolves when the handler has really ended: one that ran out of time may still be going on. */
  readonly ended: Promise<void>
}

/** Runs a job's handler, in a span where the application traces, and says what to acknowledge. Never rejects. */
export async function performJob(fetched: FetchedJob, context: PerformContext): Promise<Performed> {
  const { claim, abort, handler } = context
  let ended: Promise<void> = Promise.resolve()
  let span: Span | undefined
  const performed = (decided: Pick<Acknowledgement, 'outcome' | 'inMs' | 'error'>): Performed => {
    if (span) endJobSpan(span, decided)
    return { ack: { id: fetched.id, claim, ...decided }, ended }
  }
  try {
    const job = toJob(fetched, context)
    span = jobSpan(job)
    const handle = async (): Promise<unknown> => handler.run(job, { signal: abort.signal })
    const run = span ? whileActive(span, handle) : handle()
    ended = run.then(
      () => undefined,
      () => undefined,
    )
    const result = await withTimeout(run, handler.timeoutMs, abort)
    return performed(decisionOf(result) ?? { outcome: 'complete' })
  } catch (error) {
    return performed(outcomeOfThrown(error, context))
  }
}

function outcomeOfThrown(
  error: unknown,
  { abort, attempt, handler, backoff }: PerformContext,
): Pick<Acknowledgement, 'outcome' | 'inMs' | 'error'> {
  const decided = decisionOf(error)
  if (decided) return decided
  // cut short by the worker's stop, not by a fault of its own
  if (abort.signal.reason instanceof WorkerStopping) return { outcome: 'release' }
  return { outcome: 'retry', inMs: backoffDelay(attempt, handler.backoff ?? backoff), error: failureOf(error) }
}

function failureOf(error: unknown): { code: string; message: string } {
  return { code: codeOf(error) ?? nameOf(error), message: messageOf(error) }
}

async function withTimeout(
  run: Promise<unknown>,
  timeoutMs: number | undefined,
  abort: AbortController,
): Promise<unknown> {
  if (timeoutMs === undefined) return run
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      const error = new WaybillError('WAYBILL_JOB_TIMEOUT', `the job took longer than its ${timeoutMs} ms`)
      abort.abort(error)
      reject(error)
    }, timeoutMs)
  })
  try {
    return await Promise.race([run, late])
  } finally {
    clearTimeout(timer)
  }
}

function toJob(fetched: FetchedJob, { queue, attempt }: PerformContext): Job {
  return {
    id: fetched.id,
    messageId: fetched.message_id,
    queue,
    name: fetched.name,
    key: fetched.key,
    args: JSON.parse(fetched.args) as unknown,
    argsText: fetched.args,
    headers: fetched.headers === null ? {} : (JSON.parse(fetched.headers) as Record<string, string>),
    attempt,
    maxAttempts: fetched.max_attempts,
    createdAt: fetched.created_at,
  }
}
