import type { JobPool } from './types.js'

/** Due jobs of a name that no live worker of their queue has a handler for. */
export interface UnhandledJobs {
  readonly queue: string
  readonly name: string
  /** Live workers of the queue, of whatever names. */
  readonly workers: number
  /** At least so many wait. */
  readonly jobs: number
  /** When the first of them was due. */
  readonly oldest: Date
}

/** Of the heads of all queues, the oldest first; a thousand names at most. */
export async function listUnhandledJobs(pool: JobPool, queryTimeoutMs?: number): Promise<UnhandledJobs[]> {
  const { rows } = await pool.query({
    text: `select queue, name, workers::float8 as workers, jobs::float8 as jobs, (extract(epoch from oldest) * 1000)::text as oldest_ms
             from waybill.jobs_unhandled order by oldest limit 1000`,
    values: [],
    ...(queryTimeoutMs !== undefined && { query_timeout: queryTimeoutMs }),
  })
  const found = rows as unknown as (Omit<UnhandledJobs, 'oldest'> & { readonly oldest_ms: string })[]
  return found.map(({ oldest_ms, ...row }) => ({ ...row, oldest: new Date(Number(oldest_ms)) }))
}

export function describeUnhandled({ queue, name, workers, jobs }: UnhandledJobs): string {
  const why =
    workers === 0
      ? 'and no live worker works on that queue'
      : `and none of its ${workers} live workers has a handler for them`
  return `queue ${queue}: ${jobs.toLocaleString('en-US')} jobs named ${JSON.stringify(name)} wait, ${why}`
}
