import type { Queryable } from './lane-store.js'

export interface Staged {
  readonly staged: number
  /** Everything due up to this time (the database's) was looked at, from `dueAfter` on. */
  readonly stagedTo: Date
  /** Milliseconds until the next message is due; null when none is scheduled. */
  readonly nextInMs: number | null
}

/** Moves scheduled messages that are due into the log. `dueAfter` null looks at all of them. */
export async function stageScheduled(db: Queryable, batch: number, dueAfter: Date | null): Promise<Staged> {
  const { rows } = await db.query<{ staged: number; staged_to: Date; next_in_ms: number | null }>(
    `select staged, staged_to, next_in_ms from waybill.stage_scheduled($1::int, coalesce($2::timestamptz, '-infinity'))`,
    [batch, dueAfter],
  )
  const row = rows[0]
  if (!row) throw new TypeError('stage_scheduled returned no row')
  return { staged: row.staged, stagedTo: row.staged_to, nextInMs: row.next_in_ms }
}
