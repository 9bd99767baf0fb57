import type pg from 'pg'
import { loadSql } from '../db/sql.js'
import type { LaneFence, Queryable } from './lane-store.js'

const stateSql = loadSql(import.meta.url, './sql/standby_state.sql')
const awaitSql = loadSql(import.meta.url, './sql/lane_await.sql')

/** The stand-bys of one name, as the primary sees them in `pg_stat_replication`. */
export interface StandbyState {
  /** How many receive the write-ahead log now. */
  readonly streaming: number
  /** `flush_lsn`: all of them have it on disk up to here. Null: none streams, or this role may not see it. */
  readonly flushed: string | null
  /** Bytes from there to what is on disk here. */
  readonly behind: number | null
  /** This role may see it: it is a superuser or has `pg_read_all_stats`. */
  readonly allowed: boolean
  /** Names of other stand-bys that stream. */
  readonly others: readonly string[]
}

/** Where a role may not see the positions of others, nothing streams as far as it knows. */
export async function standbyState(pool: pg.Pool, name: string): Promise<StandbyState> {
  const { rows } = await pool.query<StandbyState>(stateSql, [name])
  return rows[0] as StandbyState
}

/** What a lane may wait for before it reads on. `hidden`: rows that it is not shown. */
export type AwaitKind = 'standby' | 'hidden'

/** Writes down why a lane waits, or that it does no more (null). False: it says so already, or is another's. */
export async function writeAwait(
  db: Queryable,
  fence: Omit<LaneFence, 'nonce'>,
  kind: AwaitKind,
  reason: string | null,
): Promise<boolean> {
  const { rowCount } = await db.query(awaitSql, [fence.laneId, fence.epoch, fence.holder, kind, reason])
  return rowCount === 1
}
