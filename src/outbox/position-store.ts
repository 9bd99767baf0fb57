import type pg from 'pg'
import { loadSql } from '../db/sql.js'
import type { Delta } from './delta.js'
import { readFenced } from './fenced-read.js'
import { type DeltaRow, type Queryable, deltaFromRow } from './lane-store.js'

const planSql = loadSql(import.meta.url, './sql/lane_plan.sql')

const deltaColumns =
  'lane_id, n, from_snapshot, from_floor, running, running_floors, to_snapshot, to_floor, ceiling, generation'
const deltaParameters =
  '$1::int, $2::bigint, $3::pg_snapshot, $4::bigint, $5::xid8[], $6::bigint[], $7::pg_snapshot, $8::bigint, $9::bigint, $10::int'

function deltaValues(laneId: number, { n, from, to, generation }: Delta): unknown[] {
  const xids = from.running.map((r) => r.xid)
  const floors = from.running.map((r) => r.floor)
  return [laneId, n, from.snapshot, from.floor, xids, floors, to.snapshot, to.floor, to.ceiling, generation]
}

/** Stores a delta and a position in it, outside a lane's own commits: for whoever holds the lane's row. */
export async function insertPosition(
  client: pg.ClientBase,
  laneId: number,
  position: { readonly n: number; readonly delta: Delta; readonly after: number; readonly delivered: number },
): Promise<void> {
  await client.query(
    `with delta as (insert into waybill.deltas (${deltaColumns}) values (${deltaParameters}))
     insert into waybill.positions (lane_id, n, delta, after, epoch, delivered)
     select l.id, $11::bigint, $2::bigint, $12::bigint, l.epoch, $13::bigint from waybill.lanes l where l.id = $1::int`,
    [...deltaValues(laneId, position.delta), position.n, position.after, position.delivered],
  )
}

/** Replaces what a lane is to read after the delta that its position names. For whoever holds the lane's row. */
export async function planDeltas(client: pg.ClientBase, laneId: number, deltas: readonly Delta[]): Promise<void> {
  await client.query('delete from waybill.planned_deltas where lane_id = $1::int', [laneId])
  for (const delta of deltas) {
    await client.query(
      `insert into waybill.planned_deltas (${deltaColumns}) values (${deltaParameters})`,
      deltaValues(laneId, delta),
    )
  }
}

export interface LanePlan {
  /** It gives way to lanes of another number of shards: it opens no delta but those that are planned. */
  readonly closing: boolean
  /** The lane's row says that it is paused. */
  readonly paused: boolean
  readonly deltas: readonly Delta[]
}

/** What a lane may do after its position; load it after the position. `after`: n of the delta that the position names. */
export async function loadPlan(db: Queryable, laneId: number, after: number, nonce: string): Promise<LanePlan> {
  type Row = { closing: boolean | null; paused: boolean | null; n: string | null } & DeltaRow
  const rows = await readFenced<Row>(db, planSql, [laneId, after], nonce)
  return {
    closing: rows[0]?.closing === true,
    paused: rows[0]?.paused === true,
    deltas: rows.flatMap((row) => (row.n === null ? [] : [deltaFromRow(Number(row.n), row)])),
  }
}

export interface LaneStart {
  readonly delta: Delta
  readonly after: number
  /** What comes after it, in place of a delta up to a fresh tick. */
  readonly planned?: readonly Delta[]
}

/** Adds a destination's lanes, each with the position that it reads from; resolves to their ids, by shard. */
export async function addLanes(
  client: pg.ClientBase,
  destination: { readonly name: string; readonly shards: number },
  { delta, after, planned = [] }: LaneStart,
): Promise<number[]> {
  const ids: number[] = []
  for (let shard = 0; shard < destination.shards; shard++) {
    const { rows } = await client.query<{ id: number }>(
      'insert into waybill.lanes (destination, shard, shards) values ($1::text, $2::int, $3::int) returning id',
      [destination.name, shard, destination.shards],
    )
    const id = rows[0]?.id as number
    await insertPosition(client, id, { n: 0, delta, after, delivered: 0 })
    await planDeltas(client, id, planned)
    ids.push(id)
  }
  return ids
}
