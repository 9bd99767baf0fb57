import { databaseUrlProblem } from '../core/database-url.js'
import type { BackoffSettings } from '../core/backoff.js'
import { InputError, type Problem } from '../core/errors.js'
import type { WorkerOptions } from './types.js'

export interface ResolvedWorkerOptions {
  readonly queues: readonly { readonly name: string; readonly concurrency: number }[]
  readonly leaseMs: number
  readonly pollMs: number
  readonly retentionMs: number
  readonly backoff: BackoffSettings
}

/** Fills in defaults. Throws `WAYBILL_JOB_INVALID` with everything that is wrong. */
export function resolveWorkerOptions(options: WorkerOptions): ResolvedWorkerOptions {
  const problems: Problem[] = []
  const number = (path: string, value: number, min: number, max: number): number => {
    if (!(value >= min && value <= max))
      problems.push({ path, message: `is ${value}; must be a number from ${min} to ${max}` })
    return value
  }
  const queues = Object.entries(options.queues).map(([name, { concurrency = 10 }]) => {
    const message = concurrencyProblem(concurrency)
    if (message !== undefined) problems.push({ path: `queues.${name}.concurrency`, message })
    return { name, concurrency }
  })
  if (queues.length === 0)
    problems.push({ path: 'queues', message: 'is empty; name a queue, such as { default: { concurrency: 10 } }' })
  if ((options.pool === undefined) === (options.connectionString === undefined)) {
    problems.push({ path: 'pool', message: 'give either pool or connectionString' })
  }
  const wrongUrl = options.connectionString === undefined ? undefined : databaseUrlProblem(options.connectionString)
  if (wrongUrl !== undefined) problems.push({ path: 'connectionString', message: wrongUrl })
  const { baseMs, capMs } = options.backoff ?? { baseMs: 2_000, capMs: 86_400_000 }
  const resolved = {
    queues,
    leaseMs: number('leaseMs', options.leaseMs ?? 30_000, 500, 3_600_000),
    pollMs: number('pollMs', options.pollMs ?? 1_000, 10, 60_000),
    retentionMs: number('retentionMs', options.retentionMs ?? 7 * 86_400_000, 0, 10 * 365 * 86_400_000),
    backoff: {
      baseMs: number('backoff.baseMs', baseMs, 1, capMs),
      capMs: number('backoff.capMs', capMs, 1, 365 * 86_400_000),
    },
  }
  if (problems.length > 0) throw new InputError('WAYBILL_JOB_INVALID', "the worker's options are not valid:", problems)
  return resolved
}

/** What is wrong with a queue's concurrency; undefined when nothing is. */
export function concurrencyProblem(concurrency: number): string | undefined {
  const fits = Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= 1_000
  return fits ? undefined : `is ${concurrency}; must be a whole number from 1 to 1000`
}
