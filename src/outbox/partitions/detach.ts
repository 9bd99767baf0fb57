import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { systemClock, type Clock } from '../../core/clock.js'
import { codeOf } from '../../core/errors.js'
import type { RangeTable } from './range-table.js'

export interface DetachOptions {
  /** How long it may wait for transactions that have used the table. Milliseconds, default 10,000. */
  readonly withinMs?: number
  readonly clock?: Clock
}

/**
 * DETACH CONCURRENTLY: waits for everyone who uses the table, and makes nobody wait. False when it took too long: then it
 * is pending, the rows are out of sight, and `finalizePending` ends it later.
 * It is cancelled from a second connection: a lock_timeout of the session would not pass through PgBouncer, and a
 * transaction it can't run in.
 */
export async function detachConcurrently(
  pool: pg.Pool,
  client: pg.ClientBase,
  { table }: RangeTable,
  name: string,
  { withinMs = 10_000, clock = systemClock }: DetachOptions = {},
): Promise<boolean> {
  const marker = `waybill-detach ${randomUUID()}`
  const finished = new AbortController()
  const cancelling = clock.sleep(withinMs, finished.signal).then(async () => {
    if (!finished.signal.aborted) await cancel(pool, marker)
  })
  try {
    await client.query(`/* ${marker} */ alter table waybill.${table} detach partition waybill.${name} concurrently`)
    return true
  } catch (error) {
    if (['57014', '55P03', '40P01'].includes(codeOf(error) ?? '')) return false
    throw error
  } finally {
    finished.abort()
    await cancelling
  }
}

async function cancel(pool: pg.Pool, marker: string): Promise<void> {
  await pool.query(
    `select pg_cancel_backend(a.pid) from pg_stat_activity a
      where a.pid <> pg_backend_pid() and a.state = 'active' and starts_with(a.query, '/* ' || $1)`,
    [marker],
  )
}
