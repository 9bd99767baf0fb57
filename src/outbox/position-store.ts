import type pg from 'pg'
import type { Delta } from './delta.js'

/** Stores a delta and a position in it, outside a lane's own commits: for whoever holds the lane's row. */
export async function insertPosition(
  client: pg.ClientBase,
  laneId: number,
  position: { readonly n: number; readonly delta: Delta; readonly after: number; readonly delivered: number },
): Promise<void> {
  const { delta } = position
  await client.query(
    `with delta as (
       insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, running, running_floors, to_snapshot, to_floor, ceiling)
       values ($1::int, $2::bigint, $3::pg_snapshot, $4::bigint, $5::xid8[], $6::bigint[], $7::pg_snapshot, $8::bigint, $9::bigint)
     )
     insert into waybill.positions (lane_id, n, delta, after, epoch, delivered)
     select l.id, $10::bigint, $2::bigint, $11::bigint, l.epoch, $12::bigint from waybill.lanes l where l.id = $1::int`,
    [
      laneId,
      delta.n,
      delta.from.snapshot,
      delta.from.floor,
      delta.from.running.map((r) => r.xid),
      delta.from.running.map((r) => r.floor),
      delta.to.snapshot,
      delta.to.floor,
      delta.to.ceiling,
      position.n,
      position.after,
      position.delivered,
    ],
  )
}
