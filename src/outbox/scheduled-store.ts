import type { Clock } from '../core/clock.js'
import type { Queryable } from './lane-store.js'

export interface Staged {
  readonly staged: number
  /** Everything due up to this time (the database's) was looked at, from `dueAfter` on. Null: another stager is at it. */
  readonly stagedTo: Date | null
  /** Milliseconds until the next message is due; null when none is scheduled. */
  readonly nextInMs: number | null
}

/** Moves scheduled messages that are due into the log. `dueAfter` null looks at all of them. */
export async function stageScheduled(db: Queryable, batch: number, dueAfter: Date | null): Promise<Staged> {
  const { rows } = await db.query<{ staged: number; staged_to: Date | null; next_in_ms: number | null }>(
    `select staged, staged_to, next_in_ms from waybill.stage_scheduled($1::int, coalesce($2::timestamptz, '-infinity'))`,
    [batch, dueAfter],
  )
  const row = rows[0]
  if (!row) throw new TypeError('stage_scheduled returned no row')
  return { staged: row.staged, stagedTo: row.staged_to, nextInMs: row.next_in_ms }
}

const batch = 500
const firstLookMs = 2
const longestLookMs = 100

/**
 * Resolves when everything that was due at the call is in the log, whoever moved it there: a tick that is taken then sees it. Where
 * another stager is at work that one is waited for. Rejects when `signal` aborts.
 */
export async function stageDue(db: Queryable, clock: Clock, signal?: AbortSignal): Promise<void> {
  let since: number | undefined
  for (let wait = firstLookMs; ; wait = Math.min(wait * 1.5, longestLookMs)) {
    const now = clock.monotonic()
    const { staged, nextInMs } = await stageScheduled(db, batch, null)
    // what comes due meanwhile is not waited for: under a steady stream there would be no end
    if (nextInMs === null || nextInMs + (since === undefined ? 0 : now - since) > 0) return
    since ??= clock.monotonic()
    signal?.throwIfAborted()
    if (staged === 0) await clock.sleep(wait, signal)
    signal?.throwIfAborted()
  }
}
