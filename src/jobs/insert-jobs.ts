import { InputError, messageOf, type Problem } from '../core/errors.js'

/** As much of a transaction as inserting needs: a `pg` client, or anything that runs parameterised SQL. */
export interface JobExecutor {
  query(text: string, values?: readonly unknown[]): Promise<{ rows: readonly Record<string, unknown>[] }>
}

/** A job to be inserted. */
export interface NewJob {
  /** Which handler performs it: 1–10,000 characters. */
  readonly name: string
  /** Arguments: anything that `JSON.stringify` takes. Give these or `argsText`; default null. */
  readonly args?: unknown
  /** Arguments as JSON text, kept byte for byte. */
  readonly argsText?: string
  /** Default `default`. */
  readonly queue?: string
  /** Kept for the handler. Jobs of one key are not ordered. */
  readonly key?: string | null
  readonly headers?: Readonly<Record<string, string>>
  /** 0 (first) to 3 (last). Default 0. */
  readonly priority?: number
  /** Attempts before the job is discarded. Default 20. */
  readonly maxAttempts?: number
  /** Not before this. Default: at once. */
  readonly runAt?: Date
  /** The message that it came from. Default: the job's own id. */
  readonly messageId?: string
}

// What may be null goes as empty text, or its absence as a list of places: NULL in an array is a word where array_nulls is off.
const insertText = `select waybill.job_insert(array_replace($1::text[], '', null)::uuid[], $2::text[], $3::int[], $4::text[],
  array(select case when k.given then k.text end
          from unnest($5::text[], $10::boolean[]) with ordinality k(text, given, i) order by k.i), $6::json[],
  array_replace($7::text[], '', null)::json[], $8::int[], array_replace($9::text[], '', null)::timestamptz[]) as ids`

/**
 * Inserts jobs in the transaction of `tx`, in one statement: they are there when it commits, and only then.
 * Resolves to their ids (uuid v7), in order. Throws `WAYBILL_JOB_INVALID` before anything is written.
 */
export async function insertJobs(tx: JobExecutor, jobs: readonly NewJob[]): Promise<string[]> {
  if (jobs.length === 0) return []
  const problems: Problem[] = []
  const texts = jobs.map((job, index) => checked(job, `jobs[${index}]`, problems))
  if (problems.length > 0) throw new InputError('WAYBILL_JOB_INVALID', 'the jobs are not valid:', problems)
  const { rows } = await tx.query(insertText, [
    jobs.map(({ messageId }) => messageId ?? ''),
    jobs.map(({ queue }) => queue ?? 'default'),
    jobs.map(({ priority }) => priority ?? 0),
    jobs.map(({ name }) => name),
    jobs.map(({ key }) => key ?? ''),
    texts,
    jobs.map(({ headers }) => (headers && Object.keys(headers).length > 0 ? JSON.stringify(headers) : '')),
    jobs.map(({ maxAttempts }) => maxAttempts ?? 20),
    jobs.map(({ runAt }) => runAt?.toISOString() ?? ''),
    jobs.map(({ key }) => key != null),
  ])
  return rows[0]?.['ids'] as string[]
}

/** Inserts one job in the transaction of `tx`; resolves to its id. Else as `insertJobs`. */
export async function enqueue(tx: JobExecutor, job: NewJob): Promise<string> {
  const [id] = await insertJobs(tx, [job])
  return id as string
}

const firstTimeMs = Date.UTC(1970, 0, 1) - 1969 * 365.2425 * 86_400_000
const centuryMs = 100 * 365 * 86_400_000
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/** The arguments' JSON text; what is wrong with the job goes to `problems`. */
function checked(job: NewJob, path: string, problems: Problem[]): string {
  const check = (field: keyof NewJob, right: boolean, message: string): void => {
    if (!right) problems.push({ path: `${path}.${field}`, message })
  }
  const { name, queue = 'default', key, headers = {}, priority = 0, maxAttempts = 20, runAt, messageId } = job
  check('name', isText(name, 10_000), 'must be text of 1 to 10,000 characters, without U+0000')
  check('queue', isText(queue, 255), 'must be text of 1 to 255 characters, without U+0000')
  check(
    'key',
    key == null || key === '' || isText(key, 1024),
    'must be text of up to 1,024 characters without U+0000, or null',
  )
  check(
    'headers',
    Object.values(headers).every((value) => typeof value === 'string'),
    'must be an object of strings',
  )
  check('priority', isWhole(priority, 0, 3), `is ${priority}; must be 0 (first), 1, 2 or 3`)
  check(
    'maxAttempts',
    isWhole(maxAttempts, 1, 1_000_000),
    `is ${maxAttempts}; must be a whole number from 1 to 1,000,000`,
  )
  check(
    'runAt',
    runAt === undefined || isTime(runAt),
    'must be a valid Date, from the year 1 to a hundred years from now',
  )
  check('messageId', messageId === undefined || uuid.test(messageId), 'must be a uuid')
  if (job.argsText !== undefined) {
    check('args', job.args === undefined, 'give args or argsText, not both')
    return job.argsText
  }
  try {
    const text = JSON.stringify(job.args ?? null) as string | undefined
    check('args', text !== undefined, `is a ${typeof job.args}; must be JSON`)
    return text ?? 'null'
  } catch (error) {
    check('args', false, `can't be written as JSON: ${messageOf(error)}`)
    return 'null'
  }
}

/** What PostgreSQL reads and `waybill.job_insert` takes. */
function isTime(at: Date): boolean {
  const ms = at.getTime()
  return ms >= firstTimeMs && ms <= Date.now() + centuryMs
}

function isText(value: unknown, maxLength: number): boolean {
  return typeof value === 'string' && value.length > 0 && value.length <= maxLength && !value.includes('\0')
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}
