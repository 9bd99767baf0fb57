import type pg from 'pg'
import { loadSql } from '../../db/sql.js'
import { measureTip, minWidth } from '../partitions/width.js'
import { inBatches, type Bounds } from './bounded.js'
import { laneFloors } from './lane-floors.js'
import type { Marks } from './marks.js'

const trimSql = loadSql(import.meta.url, './log_trim.sql')

/**
 * Where a day fills less than the narrowest range, a range would outlive its retention by weeks: so old messages are
 * deleted from it, a few at a time, and only below what every lane still needs. Gives how many went.
 */
export async function trimLog(
  client: pg.ClientBase,
  marks: Marks,
  { retentionMs, ...bounds }: Bounds & { readonly retentionMs: number },
): Promise<number> {
  const tip = await measureTip(client)
  if (tip.perDay >= minWidth) return 0
  const floors = await laneFloors(client)
  const high = Math.min(tip.seq, ...floors.map((lane) => lane.hold))
  const batch = bounds.batch ?? 1000
  let low = Math.min(marks.trim ?? 0, high)
  const gone = await inBatches(client, bounds, async () => {
    const { rows } = await client.query<{ looked: number; gone: number; last: number | null }>(trimSql, [
      low,
      high,
      retentionMs,
      batch,
    ])
    const step = rows[0] ?? { looked: 0, gone: 0, last: null }
    low = step.last ?? low
    return { rows: step.gone, last: step.gone < batch }
  })
  marks.trim = low
  return gone
}
