import type pg from 'pg'
import { loadSql } from '../../db/sql.js'
import { finalizePending } from '../partitions/finalize.js'
import { listPartitions, messagesTable, type PartitionInfo } from '../partitions/range-table.js'
import { measureTip } from '../partitions/width.js'
import { expireRange, type Expired } from './expire.js'
import { laneFloors, lanesBelow, type LaneFloor } from './lane-floors.js'
import { isPast } from './partition-age.js'
import { dropDetached, removePartition, type RemoveOptions } from './remove-partition.js'

export interface DropOptions extends RemoveOptions {
  /** A range goes when its youngest message is older than this. Milliseconds. */
  readonly retentionMs: number
  /** A range older than this goes even where a lane still needs it. Milliseconds; default: never. */
  readonly maxHoldMs?: number
}

export interface DropReport {
  readonly dropped: readonly { readonly name: string; readonly bytes: number }[]
  /** What lanes lost to maxHold. */
  readonly expired: readonly Expired[]
  /** Why the next range, which is past retention, stays; null: none is. */
  readonly kept: KeptReason | null
}

export type KeptReason =
  | { readonly partition: string; readonly why: 'lanes'; readonly lanes: readonly LaneFloor[] }
  /** Transactions run that may still commit into it. */
  | { readonly partition: string; readonly why: 'transactions' }
  /** It is detached already, but somebody's old snapshot or lock keeps it from being dropped. */
  | { readonly partition: string; readonly why: 'detaching' }

const marksSql = loadSql(import.meta.url, './partition_marks.sql')
const endedSql = loadSql(import.meta.url, './partition_ended.sql')

/**
 * Drops the ranges of the log that are past retention and that nobody needs, lowest first. A range goes when the sequence
 * is past it, everyone who may have drawn a seq of it has ended (a row committed into a detached range is lost), no
 * message in it is younger than `retentionMs`, and every lane's stored floors and parked deliveries lie above it.
 */
export async function dropPartitions(pool: pg.Pool, options: DropOptions): Promise<DropReport> {
  const client = await pool.connect()
  let failed = true
  try {
    const report = await dropPartitionsOn(pool, client, options)
    failed = false
    return report
  } finally {
    client.release(failed)
  }
}

/** The same on a connection that the caller has; the pool is asked for a second one only to cancel a detachment. */
export async function dropPartitionsOn(
  pool: pg.Pool,
  client: pg.ClientBase,
  options: DropOptions,
): Promise<DropReport> {
  const dropped: { name: string; bytes: number }[] = []
  const expired: Expired[] = []
  const answer = (kept: KeptReason | null): DropReport => ({ dropped, expired, kept })
  await finalizePending(client, messagesTable, options)
  for (const name of await dropDetached(client, messagesTable, options)) dropped.push({ name, bytes: 0 })
  const ranges = await listPartitions(client)
  const pending = ranges.find((range) => range.detachPending)
  if (pending !== undefined) return answer({ partition: pending.name, why: 'detaching' })

  for (const range of await markPassed(client, ranges)) {
    if (options.signal?.aborted === true) break
    if (!(await isPast(client, range, options.retentionMs))) break
    if (!(await isSettled(client, range))) return answer({ partition: range.name, why: 'transactions' })
    // read after everyone has ended: whoever wrote into the range is in these floors
    const lanes = lanesBelow(await laneFloors(client), range.upper ?? Infinity)
    if (lanes.length > 0) {
      const tooLong = options.maxHoldMs !== undefined && (await isPast(client, range, options.maxHoldMs))
      if (!tooLong) return answer({ partition: range.name, why: 'lanes', lanes })
      expired.push(...(await expireRange(client, range, lanes)))
    }
    if (!(await removePartition(pool, client, messagesTable, range, options))) {
      return answer({ partition: range.name, why: 'detaching' })
    }
    dropped.push({ name: range.name, bytes: range.bytes })
    await client.query('delete from waybill.dropped d where d.seq < $1::bigint', [range.upper])
  }
  return answer(null)
}

/** The ranges that the sequence has passed. Its value is read before the xids of the marks are drawn. */
async function markPassed(client: pg.ClientBase, ranges: readonly PartitionInfo[]): Promise<PartitionInfo[]> {
  const tip = await measureTip(client)
  const passed = ranges.filter((range) => range.upper !== null && range.upper - 1 <= tip.seq)
  if (passed.length > 0) {
    await client.query(marksSql, [passed.map((range) => range.name), passed.map((range) => range.upper)])
  }
  return passed
}

async function isSettled(client: pg.ClientBase, range: PartitionInfo): Promise<boolean> {
  const { rows } = await client.query<{ ended: boolean }>(endedSql, [range.name, range.upper])
  return rows[0]?.ended === true
}
