import { onTestFinished } from 'vitest'
import {
  createWorker,
  type JobHandler,
  type JobHandlerOptions,
  type Worker,
  type WorkerOptions,
} from '../../src/jobs/index.js'
import type { TestDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'

export interface JobRow {
  readonly id: string
  readonly message_id: string
  readonly state: string
  readonly attempt: number
  readonly claim: string | null
  readonly worker: string | null
  readonly errors: { attempt: number; code: string; message: string }[] | null
  readonly run_in_ms: number
}

export async function readJob(database: TestDatabase, id: string): Promise<JobRow> {
  const { rows } = await database.pool.query<JobRow>(
    `select j.*, extract(epoch from j.run_at - clock_timestamp())::float8 * 1000 as run_in_ms from waybill.jobs j where id = $1`,
    [id],
  )
  const [row] = rows
  if (row === undefined) throw new Error(`no job ${id}`)
  return row
}

export function jobInState(database: TestDatabase, id: string, state: string): Promise<JobRow> {
  return waitFor(
    async () => {
      const row = await readJob(database, id)
      return row.state === state && row
    },
    { what: `job ${id} ${state}` },
  )
}

export async function countJobs(database: TestDatabase, queue: string): Promise<Record<string, number>> {
  const { rows } = await database.pool.query<{ state: string; n: number }>(
    'select state, count(*)::int as n from waybill.jobs where queue = $1 group by state',
    [queue],
  )
  return Object.fromEntries(rows.map(({ state, n }) => [state, n]))
}

/** A started worker of one queue, stopped when the test ends. */
export async function startWorker(
  database: TestDatabase,
  queue: string,
  handlers: Record<string, JobHandler | JobHandlerOptions>,
  options: Partial<Omit<WorkerOptions, 'pool' | 'connectionString'>> & { concurrency?: number } = {},
): Promise<Worker> {
  const { concurrency = 10, ...rest } = options
  const worker = createWorker({
    pool: database.pool,
    queues: { [queue]: { concurrency } },
    handlers,
    pollMs: 50,
    backoff: { baseMs: 1, capMs: 5 },
    ...rest,
  })
  onTestFinished(() => worker.stop({ drainMs: 0, abortMs: 500 }))
  await worker.start()
  return worker
}

/** A promise and what settles it. */
export function deferred<T = void>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined
  const promise = new Promise<T>((done) => (resolve = done))
  return { promise, resolve }
}
