import { codeOf, messageOf, WaybillError } from '../core/errors.js'
import { storableText } from '../core/storable-text.js'
import { assertRowsSeen, explainRefused } from '../db/hidden-tables.js'
import { isConnectionError, serialized } from '../db/sqlstate.js'
import type { HandledNames } from './handlers.js'
import type { AckOutcome, JobState } from './job-state.js'
import type { WatchedWorker } from './lease-watch.js'
import type { JobPool } from './types.js'
import { listUnhandledJobs, type UnhandledJobs } from './unhandled-jobs.js'

/** A job as a fetch gives it. */
export interface FetchedJob {
  readonly id: string
  readonly message_id: string
  readonly priority: number
  readonly name: string
  readonly key: string | null
  readonly args: string
  readonly headers: string | null
  readonly attempt: number
  readonly max_attempts: number
  readonly run_at: Date
  readonly created_at: Date
}

/** What a worker says of a job that it ran; `claim` is the fence. */
export interface Acknowledgement {
  readonly id: string
  readonly claim: string
  readonly outcome: AckOutcome
  /** For retry, snooze and release: not before so many milliseconds from now. */
  readonly inMs?: number
  /** Why, for the job's errors. */
  readonly error?: { readonly code: string; readonly message: string }
}

export interface WorkerIdentity {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly pid: number
  readonly version: string
  readonly queues: readonly string[]
  readonly leaseMs: number
  readonly names: HandledNames
}

/** SQLSTATEs of a schema, a table, a function or a column that is not there. */
const missing = new Set(['3F000', '42P01', '42883', '42703'])

const callTimeoutMs = 10_000

/** A time in whole milliseconds since 1970 as text: how a session shows dates, or reads them, does not matter. */
const epochMs = (time: string): string => `floor(extract(epoch from ${time}) * 1000)::text`

const fetchSql = `select f.id, f.message_id, f.priority, f.name, f.key, f.args, f.headers, f.attempt, f.max_attempts,
    ${epochMs('f.run_at')} as run_ms, ${epochMs('f.created_at')} as created_ms
  from waybill.job_fetch($1, $2, $3, $4, $5::timestamptz[], $6::text[], $7, $8) f`

interface FetchedRow extends Omit<FetchedJob, 'run_at' | 'created_at'> {
  readonly run_ms: string
  readonly created_ms: string
}

/** The worker's calls, one SQL function each (`prisma/migrations/…_jobs`), one round trip each. */
export class JobStore {
  readonly #pool: JobPool
  readonly #beatTimeoutMs: number

  /**
   * `beatTimeoutMs`: a heartbeat that takes longer fails (other calls after 10 s), as with a lost connection: what became
   * of it is not known. Shorter than the lease, so that one that hangs does not cost it.
   */
  constructor(pool: JobPool, beatTimeoutMs: number) {
    this.#pool = pool
    this.#beatTimeoutMs = beatTimeoutMs
  }

  async register(worker: WorkerIdentity): Promise<void> {
    const { id, name, host, pid, version, queues, leaseMs, names } = worker
    try {
      await assertRowsSeen(this.#asked, ['jobs', 'workers'])
      await this.#call('select waybill.worker_register($1, $2, $3, $4, $5, $6, $7, $8::text[], $9)', [
        id,
        name,
        host,
        pid,
        version,
        queues,
        leaseMs,
        names.exact,
        names.patterns,
      ])
    } catch (error) {
      if (missing.has(codeOf(error) ?? '')) {
        throw new WaybillError('WAYBILL_SCHEMA_MISSING', 'the database has no job queue; run: waybill migrate', {
          cause: error,
        })
      }
      if (isConnectionError(error)) {
        throw new WaybillError('WAYBILL_DATABASE_UNREACHABLE', 'the worker got no connection to its database', {
          cause: error,
        })
      }
      throw error
    }
  }

  /** All workers there are, or undefined when this one is not known any more. */
  async beat(id: string): Promise<WatchedWorker[] | undefined> {
    const [row] = await serialized(() =>
      this.#call<{ workers: WatchedWorker[] | null }>(
        'select waybill.worker_beat($1) as workers',
        [id],
        this.#beatTimeoutMs,
      ),
    )
    return row?.workers ?? undefined
  }

  /** Takes back old claims of the worker's other than these; how many jobs that was. */
  async reconcile(id: string, claims: readonly string[]): Promise<number> {
    const [row] = await this.#call<{ n: number | null }>('select waybill.worker_reconcile($1, $2::uuid[]) as n', [
      id,
      claims,
    ])
    return row?.n ?? 0
  }

  /** How many jobs were taken back; undefined when the worker was gone or its beat has moved. */
  async endWorker(id: string, beat: number | null, code: string, message: string): Promise<number | undefined> {
    const [row] = await this.#call<{ n: number | null }>('select waybill.worker_end($1, $2, $3, $4) as n', [
      id,
      beat,
      code,
      message,
    ])
    return row?.n ?? undefined
  }

  /** `names`: only jobs of these; undefined: of any. `suspected`: only those that are to run alone; else only others. */
  async fetch(
    worker: string,
    claim: string,
    queue: string,
    limit: number,
    after: readonly (Date | null)[],
    names?: HandledNames,
    suspected = false,
  ): Promise<FetchedJob[]> {
    const marks = after.map((mark) => mark?.toISOString() ?? '-infinity')
    const rows = await this.#call<FetchedRow>(fetchSql, [
      ...[worker, claim, queue, limit, marks],
      ...[names?.exact ?? null, names?.patterns ?? null, suspected],
    ])
    return rows.map(({ run_ms, created_ms, ...job }) => ({
      ...job,
      run_at: new Date(Number(run_ms)),
      created_at: new Date(Number(created_ms)),
    }))
  }

  /** The database's time. */
  async now(): Promise<Date> {
    const [row] = await this.#call<{ ms: string }>(`select ${epochMs('clock_timestamp()')} as ms`, [])
    return new Date(Number(row?.ms ?? 0))
  }

  async unhandled(): Promise<UnhandledJobs[]> {
    return listUnhandledJobs(this.#pool, callTimeoutMs)
  }

  /** The attempt that each job was charged, by id; only those that may run. */
  async start(claim: string, ids: readonly string[]): Promise<Map<string, number>> {
    const rows = await this.#call<{ id: string; attempt: number }>('select * from waybill.job_start($1, $2::uuid[])', [
      claim,
      ids,
    ])
    return new Map(rows.map(({ id, attempt }) => [id, attempt]))
  }

  async release(claim: string, ids: readonly string[]): Promise<void> {
    await this.#call('select waybill.job_release($1, $2::uuid[])', [claim, ids])
  }

  /** The new state of each job that was still held by its claim, by id. */
  async acknowledge(acks: readonly Acknowledgement[]): Promise<Map<string, JobState>> {
    const rows = await this.#call<{ id: string; state: JobState }>(
      // an error without a text has an empty code: NULL in an array is a word where array_nulls is off
      `select * from waybill.job_ack($1::uuid[], $2::uuid[], $3::text[], $4::float8[], array_replace($5::text[], '', null),
         $6::text[])`,
      [
        acks.map(({ id }) => id),
        acks.map(({ claim }) => claim),
        acks.map(({ outcome }) => outcome),
        acks.map(({ inMs }) => storableMs(inMs)),
        acks.map(({ error }) => storable(error?.code) || (error ? 'ERROR' : '')),
        acks.map(({ error }) => storable(error?.message)),
      ],
    )
    return new Map(rows.map(({ id, state }) => [id, state]))
  }

  /** What was done; undefined when another worker maintains just now. */
  async maintain(retentionMs: number, batch: number): Promise<{ rescued: number; deleted: number } | undefined> {
    const [row] = await this.#call<{ done: { rescued: number; deleted: number } | null }>(
      'select waybill.job_maintain($1, $2) as done',
      [retentionMs, batch],
    )
    return row?.done ?? undefined
  }

  /** Draws a ticket: from now on, who inserts jobs notifies. */
  async fallAsleep(): Promise<void> {
    await this.#call(`select nextval('waybill.jobs_asleep')`, [])
  }

  async wakeUp(ticket: string): Promise<void> {
    await this.#call(`select setval('waybill.jobs_awake', greatest(last_value, $1::bigint)) from waybill.jobs_awake`, [
      ticket,
    ])
  }

  async #call<Row>(text: string, values: unknown[], timeoutMs = callTimeoutMs): Promise<Row[]> {
    try {
      const { rows } = await this.#pool.query({ text, values, query_timeout: timeoutMs })
      return rows as Row[]
    } catch (error) {
      throw await explainRefused(this.#asked, error)
    }
  }

  readonly #asked = {
    query: (text: string, values: unknown[] = []): Promise<{ rows: unknown[] }> =>
      this.#pool.query({ text, values, query_timeout: callTimeoutMs }),
  }
}

const tenYearsMs = 10 * 365 * 86_400_000

/** An interval that PostgreSQL takes: a back-off or a wait of a handler's may be any number. */
function storableMs(ms: number | undefined): number {
  if (ms === undefined || Number.isNaN(ms)) return 0
  return Math.min(tenYearsMs, Math.max(0, ms))
}

/** An error's message must not keep its job from being acknowledged. What was thrown may have anything in place of a text. */
function storable(text: unknown): string {
  if (text === undefined) return ''
  return storableText((typeof text === 'string' ? text : messageOf(text)).slice(0, 2000))
}
