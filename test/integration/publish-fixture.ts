import pg from 'pg'
import type { TestDatabase } from '../support/database.js'

export interface LoggedRow {
  readonly id: string
  readonly topic: string
  readonly key: string | null
  /** As stored. */
  readonly payload: string
  readonly headers: string | null
  readonly destinations: string[] | null
}

const columns = 'id::text, topic, key, payload::text as payload, headers::text as headers, destinations'

/** Messages of a topic that are committed in the log, in order of seq. */
export async function logged(database: TestDatabase, topic: string): Promise<LoggedRow[]> {
  const sql = `select ${columns} from waybill.messages where topic = $1 order by seq`
  return (await database.pool.query<LoggedRow>(sql, [topic])).rows
}

export interface ScheduledRow extends LoggedRow {
  /** Seconds from when it was published. */
  readonly seconds: number
  readonly run_at: Date
}

export async function scheduled(database: TestDatabase, topic: string): Promise<ScheduledRow[]> {
  const sql = `select ${columns}, run_at, extract(epoch from run_at - created_at)::float8 as seconds
                 from waybill.scheduled where topic = $1 order by run_at, ordinal`
  return (await database.pool.query<ScheduledRow>(sql, [topic])).rows
}

/** A connected client, closed afterwards, with whatever transaction it has open. */
export async function withClient<T>(
  database: Pick<TestDatabase, 'url'>,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** One transaction on a client. */
export async function inTransaction<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('begin')
  try {
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback')
    throw error
  }
}
