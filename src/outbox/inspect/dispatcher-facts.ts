import type pg from 'pg'
import { loadSql } from '../../db/sql.js'

export interface DispatcherFacts {
  /** Greatest seq drawn. */
  readonly published: number
  /** Dispatchers alive. */
  readonly alive: number
  /** Seconds since the heartbeat was written; null: none. */
  readonly beatAge: number | null
  /** Seconds since the first scheduled message was due that is not in the log; null: none is. */
  readonly scheduledAge: number | null
}

const factsSql = loadSql(import.meta.url, './dispatcher_facts.sql')

export async function dispatcherFacts(db: pg.Pool, dispatcher: string | undefined): Promise<DispatcherFacts> {
  const { rows } = await db.query<DispatcherFacts>(factsSql, [dispatcher ?? null])
  return rows[0] ?? { published: 0, alive: 0, beatAge: null, scheduledAge: null }
}
