import type pg from 'pg'
import { loadSql } from '../../db/sql.js'
import type { PartitionInfo } from '../partitions/range-table.js'
import type { LaneFloor } from './lane-floors.js'
import { beginSql, uncompiledSql } from '../../db/transaction.js'

export interface Expired {
  readonly laneId: number
  readonly destination: string
  readonly partition: string
  /** Messages that the lane wanted and had not read; of all its destination's shards. */
  readonly pending: number
  /** Parked deliveries that were given up. */
  readonly parked: number
}

const countSql = loadSql(import.meta.url, './expire_count.sql')

/**
 * Gives up what lanes still need of a range that is past `maxHold`, before it is dropped: in one transaction, counted in
 * waybill.audit (action `expire`) for each lane, and as an attempt with outcome `expired` for each parked delivery.
 * The lanes go on by themselves: their pages in the dropped range are empty, and their cursors move over it.
 */
export async function expireRange(
  client: pg.ClientBase,
  range: PartitionInfo,
  lanes: readonly LaneFloor[],
): Promise<Expired[]> {
  const expired: Expired[] = []
  // all of the range is counted, once for each lane that still needs it
  await client.query(`${beginSql}; ${uncompiledSql}`)
  try {
    for (const lane of lanes) expired.push(await expireLane(client, range, lane))
    await client.query('select waybill.lane_command($1::int[])', [lanes.map((lane) => lane.laneId)])
    await client.query('commit')
  } catch (error) {
    // a connection that is gone has rolled back by itself
    await client.query('rollback').catch(() => undefined)
    throw error
  }
  return expired
}

async function expireLane(client: pg.ClientBase, range: PartitionInfo, lane: LaneFloor): Promise<Expired> {
  const counted = await client.query<{ pending: number }>(countSql, [lane.laneId, range.lower, range.upper])
  const { rowCount } = await client.query(
    `with gone as (delete from waybill.deliveries d where d.lane_id = $1 and d.seq < $2 returning d.*)
     insert into waybill.attempts (destination, message_id, seq, attempt, outcome, code, message)
     select g.destination, g.message_id, g.seq, g.attempt, 'expired', 'EXPIRED', 'dropped with its range of the log: maxHold'
       from gone g`,
    [lane.laneId, range.upper],
  )
  const result: Expired = {
    laneId: lane.laneId,
    destination: lane.destination,
    partition: range.name,
    pending: counted.rows[0]?.pending ?? 0,
    parked: rowCount ?? 0,
  }
  await client.query(`insert into waybill.audit (action, target, reason) values ('expire', $1, $2)`, [
    JSON.stringify({ ...result, shards: lane.shards, lower: range.lower, upper: range.upper }),
    'older than maxHold',
  ])
  return result
}
