import type pg from 'pg'
import { stageScheduled } from '../outbox/scheduled-store.js'

const batch = 500

/** Milliseconds since 1970 up to which scheduled messages are due: `now`, or so much from the database's own time. */
export async function dueUntil(pool: pg.Pool, now: Date | { readonly afterMs: number }): Promise<number> {
  if (now instanceof Date) return now.getTime()
  const { rows } = await pool.query<{ ms: number }>(
    'select to_json(extract(epoch from clock_timestamp()) * 1000) as ms',
  )
  return (rows[0]?.ms ?? 0) + now.afterMs
}

/**
 * Moves what is due by `until` into the log, as a stager does when that time has come: what is still to come is first
 * put forward, all of it by as much as the time is ahead, so that its order stays; the database's own function does the
 * rest, by its own clock. Gives how many were moved.
 */
export async function stageUntil(pool: pg.Pool, until: number, signal: AbortSignal): Promise<number> {
  await pool.query(
    `update waybill.scheduled s set run_at = s.run_at - (to_timestamp($1::float8 / 1000) - statement_timestamp())
      where s.run_at > statement_timestamp() and s.run_at <= to_timestamp($1::float8 / 1000)`,
    [until],
  )
  let moved = 0
  for (;;) {
    const { staged, nextInMs } = await stageScheduled(pool, batch, null)
    moved += staged
    if (nextInMs === null || nextInMs > 0) return moved
    signal.throwIfAborted()
  }
}
