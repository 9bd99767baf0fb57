import { loadSql } from '../db/sql.js'
import type { Queryable } from './lane-store.js'

const countSql = loadSql(import.meta.url, './sql/unrouted_count.sql')
const step = 200_000

/** Counts what no route wants, up to `floor` (of a tick). Resolves to how many were found. */
export async function countUnrouted(db: Queryable, floor: number, maxSteps = 20): Promise<number> {
  const cursor = await db.query<{ seq: number }>('select seq::float8 as seq from waybill.unrouted_cursor')
  let low = cursor.rows[0]?.seq ?? 0
  let found = 0
  for (let i = 0; i < maxSteps && low < floor; i++) {
    const high = Math.min(floor, low + step)
    const { rows } = await db.query<{ unrouted: number }>(countSql, [low, high])
    found += rows[0]?.unrouted ?? 0
    low = high
  }
  return found
}
