import type pg from 'pg'
import { inTransaction } from '../db/transaction.js'
import { mergeBarriers } from './barriers/barrier-store.js'
import { type Delta, lowest } from './delta.js'
import { insertPosition, planDeltas } from './position-store.js'
import { restartReshardOf } from './reshard.js'
import { findReread, mendSequence, type MendReport, type Reread } from './sequence-guard.js'
import { parseSnapshot } from './snapshot.js'
import { takeTick, type TakenTick } from './tick.js'

/**
 * Mends a sequence that was set back, and sends the lanes that missed something back to where they must read again.
 * Their holders are dispossessed in the same transaction: whoever takes such a lane starts from the new position.
 * Looks for missed messages also where the sequence is in order: whoever mended it may have died before this.
 */
export async function recoverSequence(pool: pg.Pool): Promise<MendReport> {
  const client = await pool.connect()
  let report: MendReport
  try {
    report = await mendSequence(client)
    if (report.before.ok) report = { ...report, reread: await findReread(client) }
  } finally {
    client.release()
  }
  if (report.reread.length > 0) {
    const tick = await takeTick(pool, 0)
    for (const lane of report.reread) await sendBack(pool, lane, tick)
  }
  return report
}

async function sendBack(pool: pg.Pool, { laneId, floor, snapshot }: Reread, to: TakenTick): Promise<void> {
  const running = parseSnapshot(snapshot).running.map((xid) => ({ xid, floor: 0 }))
  await inTransaction(pool, async (client) => {
    await restartReshardOf(client, laneId)
    // excludes the holder's commit, whose fence takes the row in share mode
    await client.query(
      'update waybill.lanes set epoch = epoch + 1, holder = null, dispatcher = null where id = $1::int',
      [laneId],
    )
    const { rows } = await client.query<{
      n: string
      delta: string
      delivered: string
      generation: number
      destination: string
    }>(
      `select p.n::text, p.delta::text, p.delivered::text, d.generation, l.destination
         from waybill.positions p join waybill.deltas d on d.lane_id = p.lane_id and d.n = p.delta
         join waybill.lanes l on l.id = p.lane_id
        where p.lane_id = $1::int order by p.n desc limit 1`,
      [laneId],
    )
    const last = rows[0]
    if (!last) return
    const delta: Delta = {
      n: Number(last.delta) + 1,
      from: { snapshot, floor, running },
      to,
      generation: last.generation,
    }
    await mergeBarriers(client, last.destination, to)
    // what is stored of earlier deltas would accuse the same messages again
    await client.query('delete from waybill.positions where lane_id = $1::int', [laneId])
    await client.query('delete from waybill.deltas where lane_id = $1::int', [laneId])
    await planDeltas(client, laneId, [])
    await insertPosition(client, laneId, {
      n: Number(last.n) + 1,
      delta,
      after: lowest(delta), // what ran in the snapshot may have written below the floor, and has ended since
      delivered: Number(last.delivered),
    })
    await client.query(
      `insert into waybill.audit (action, target, reason)
       values ('reread', jsonb_build_object('lane', $1::int, 'floor', $2::bigint), 'the sequence had been set back')`,
      [laneId, floor],
    )
  })
}
