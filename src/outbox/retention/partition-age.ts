import type pg from 'pg'
import { loadSql } from '../../db/sql.js'
import type { PartitionInfo } from '../partitions/range-table.js'

const pastSql = loadSql(import.meta.url, './partition_past.sql')

/** Whether every message of a range of the log is older than that. True of an empty one. */
export async function isPast(client: pg.ClientBase, range: PartitionInfo, ageMs: number): Promise<boolean> {
  const { rows } = await client.query<{ past: boolean }>(pastSql, [range.lower, range.upper, ageMs])
  return rows[0]?.past === true
}
