import type pg from 'pg'
import { assertRowsSeen } from '../db/hidden-tables.js'
import { assertSchema } from '../db/migrate.js'
import { createPool } from '../db/pool.js'
import { asUnreachable } from '../db/unreachable.js'

export interface ConnectOptions {
  readonly connectionString: string
  /** Connections at most. */
  readonly max: number
  /** Shown in pg_stat_activity. */
  readonly applicationName: string
}

/**
 * A pool that has connected once, so that a wrong address is told at once and in words.
 * @throws WaybillError WAYBILL_DATABASE_UNREACHABLE
 */
export async function connectPool(options: ConnectOptions): Promise<pg.Pool> {
  const pool = createPool(options)
  try {
    const client = await pool.connect()
    client.release()
    return pool
  } catch (error) {
    await pool.end()
    throw asUnreachable(error, options.connectionString)
  }
}

/**
 * The schema is there, this version may use it, and this user is shown all of it.
 * @throws WaybillError WAYBILL_SCHEMA_MISSING, WAYBILL_SCHEMA_NEWER, WAYBILL_ROWS_HIDDEN
 */
export async function requireSchema(pool: pg.Pool): Promise<void> {
  const client = await pool.connect()
  try {
    await assertSchema(client)
    await assertRowsSeen(client)
  } finally {
    client.release()
  }
}
