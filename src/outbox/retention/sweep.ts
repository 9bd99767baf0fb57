import type pg from 'pg'
import { loadSql } from '../../db/sql.js'
import { inBatches, inBoundedTransaction, type Bounds } from './bounded.js'
import type { Marks } from './marks.js'

const dedupeSql = loadSql(import.meta.url, './dedupe_sweep.sql')
const droppedSql = loadSql(import.meta.url, './dropped_sweep.sql')
const positionsSql = loadSql(import.meta.url, './positions_sweep.sql')
const deltasSql = loadSql(import.meta.url, './deltas_sweep.sql')

interface Step {
  readonly gone: number
  readonly last: number | string | null
  readonly done?: boolean
}

/** Deletes dedupe keys that have expired. */
export async function sweepDedupeKeys(client: pg.ClientBase, marks: Marks, bounds: Bounds = {}): Promise<number> {
  const batch = bounds.batch ?? 1000
  return inBatches(client, bounds, async () => {
    const { rows } = await client.query<{ gone: number; last: string | null }>(dedupeSql, [
      marks.dedupe ?? '-infinity',
      batch,
    ])
    const { gone = 0, last = null } = rows[0] ?? {}
    // a short batch may have skipped keys that were being renewed: those have a later time now, or stay behind the mark
    if (last !== null && gone === batch) marks.dedupe = last
    return { rows: gone, last: gone < batch }
  })
}

/** Forgets what operators dropped, where no lane will read it again. */
export async function sweepDropped(client: pg.ClientBase, bounds: Bounds = {}): Promise<number> {
  const batch = bounds.batch ?? 1000
  return inBatches(client, bounds, async () => {
    const { rowCount } = await client.query(droppedSql, [batch])
    return { rows: rowCount ?? 0, last: (rowCount ?? 0) < batch }
  })
}

/** Deletes positions and deltas of each lane but for its latest. Deltas that a kept position names stay. */
export async function sweepPositions(
  client: pg.ClientBase,
  marks: Marks,
  { keep = 100, ...bounds }: Bounds & { readonly keep?: number } = {},
): Promise<number> {
  const batch = bounds.batch ?? 1000
  const lanes = await client.query<{ id: number }>('select id from waybill.lanes order by id')
  const positions: Record<string, number> = {}
  const deltas: Record<string, number> = {}
  let total = 0
  for (const { id } of lanes.rows) {
    positions[id] = marks.positions?.[id] ?? -1
    deltas[id] = marks.deltas?.[id] ?? -1
    total += await inBatches(client, bounds, async () => {
      const { rows } = await client.query<Step>(positionsSql, [id, positions[id], keep, batch])
      const step = rows[0]
      positions[id] = Number(step?.last ?? positions[id])
      return { rows: step?.gone ?? 0, last: step?.done !== false }
    })
    total += await inBatches(client, bounds, async () => {
      const { rows } = await client.query<Step>(deltasSql, [id, deltas[id], batch])
      const step = rows[0]
      deltas[id] = Number(step?.last ?? deltas[id])
      return { rows: step?.gone ?? 0, last: (step?.gone ?? 0) < batch }
    })
  }
  marks.positions = positions
  marks.deltas = deltas
  return total
}

/** Counters of messages that no route wanted: older hours become one row for each topic, and go after `keepMs`. */
export async function sweepUnrouted(
  client: pg.ClientBase,
  { keepMs, statementMs = 10_000 }: Bounds & { readonly keepMs: number },
): Promise<number> {
  return inBoundedTransaction(client, statementMs, async () => {
    const { rowCount } = await client.query(
      `delete from waybill.unrouted where counted_at < now() - $1::float8 * interval '1 ms'`,
      [keepMs],
    )
    await client.query(
      `with hours as (
         select u.topic, date_trunc('hour', u.counted_at) as hour from waybill.unrouted u
          where u.counted_at < date_trunc('hour', now()) group by 1, 2 having count(*) > 1
       ), gone as (
         delete from waybill.unrouted u using hours h
          where u.topic = h.topic and u.counted_at >= h.hour and u.counted_at < h.hour + interval '1 hour'
         returning u.topic, h.hour, u.n
       )
       insert into waybill.unrouted (topic, n, counted_at) select g.topic, sum(g.n), g.hour from gone g group by g.topic, g.hour`,
    )
    return rowCount ?? 0
  })
}

/** Strikes off dispatchers that were not seen for a day. Their lanes were taken by others long before. */
export async function sweepDispatchers(client: pg.ClientBase, { statementMs = 10_000 }: Bounds = {}): Promise<number> {
  return inBoundedTransaction(client, statementMs, async () => {
    const { rowCount } = await client.query(`delete from waybill.dispatchers where seen_at < now() - interval '1 day'`)
    return rowCount ?? 0
  })
}
