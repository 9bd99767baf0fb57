import type pg from 'pg'
import { loadSql } from '../../db/sql.js'

/** What a lane is doing, in one word. */
export type LaneCondition =
  /** Somebody holds it and it goes on. */
  | 'active'
  /** The destination is down, throttles or is misconfigured, or too much is parked. */
  | 'paused'
  /** It gives way to lanes of another number of shards. */
  | 'closing'
  /** No dispatcher holds it, or its holder was not seen for a while. */
  | 'unheld'
  /** Its destination is no longer configured. */
  | 'orphaned'

/** A lane as the database knows it. Counts are messages; `rate` is deliveries a second over the last minute. */
export interface LaneReport {
  readonly laneId: number
  readonly destination: string
  readonly kind: string
  readonly shard: number
  readonly shards: number
  readonly condition: LaneCondition
  /** Why it does not go on; null when it does. */
  readonly why: string | null
  /** Sequence numbers between its cursor and the tip: an upper bound of what is undelivered. */
  readonly lagMessages: number
  /** Age of the first message behind its cursor, of any topic; 0 at the tip. */
  readonly lagSeconds: number
  /** Delivered since the lane began. */
  readonly delivered: number
  readonly rate: number | null
  readonly retrying: number
  readonly held: number
  readonly dead: number
  readonly inFlight: number
  /** Keys that wait behind a parked message. */
  readonly heldKeys: number
  readonly oldestParkedAt: Date | null
  readonly pauseKind: string | null
  readonly pausedAt: Date | null
  readonly dispatcher: string | null
  readonly dispatcherId: string | null
  readonly dispatcherSeenAt: Date | null
  readonly committedAt: Date | null
}

type Row = Omit<LaneReport, 'condition' | 'why'> & {
  readonly state: 'active' | 'paused' | 'closing'
  readonly pauseReason: string | null
  readonly configured: boolean
  readonly holderGone: boolean
}

const listSql = loadSql(import.meta.url, './lane_list.sql')

/** Every open lane, or those of one destination. Costs index probes and the parked rows, however far behind a lane is. */
export async function listLanes(db: pg.Pool | pg.ClientBase, destination: string | null = null): Promise<LaneReport[]> {
  const { rows } = await db.query<Row>(listSql, [destination])
  return rows.map((row) => {
    const { state: _state, pauseReason: _reason, configured: _configured, holderGone: _gone, ...lane } = row
    return { ...lane, ...conditionOf(row) }
  })
}

function conditionOf(row: Row): Pick<LaneReport, 'condition' | 'why'> {
  if (!row.configured)
    return { condition: 'orphaned', why: 'no configuration names it; "waybill destinations remove" ends it' }
  if (row.state === 'closing') return { condition: 'closing', why: 'it gives way to lanes of another number of shards' }
  const paused = row.state === 'paused' ? `${row.pauseKind ?? 'paused'}: ${row.pauseReason ?? 'no reason given'}` : null
  if (row.holderGone) {
    const who = row.dispatcher === null ? 'no dispatcher holds it' : `its dispatcher ${row.dispatcher} is gone`
    return { condition: 'unheld', why: paused === null ? who : `${who}; ${paused}` }
  }
  return { condition: row.state, why: paused }
}
