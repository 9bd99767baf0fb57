import { loadSql } from '../db/sql.js'
import type { Queryable } from './lane-store.js'

const countSql = loadSql(import.meta.url, './sql/unrouted_count.sql')
const step = 200_000

/** Counts what no route wants, up to `floor` (of a tick). Resolves to how many were found. */
export async function countUnrouted(db: Queryable, floor: number, maxSteps = 20): Promise<number> {
  let found = 0
  for (let i = 0; i < maxSteps; i++) {
    const { rows } = await db.query<{ unrouted: number; looked: number }>(countSql, [floor, step])
    found += rows[0]?.unrouted ?? 0
    if ((rows[0]?.looked ?? 0) < step) break
  }
  return found
}
