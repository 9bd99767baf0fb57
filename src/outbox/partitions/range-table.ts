import { loadSql } from '../../db/sql.js'
import type pg from 'pg'

/** A table of Waybill that is partitioned by ranges. All but the inbox have a tail up to MAXVALUE behind them. */
export interface RangeTable {
  readonly table: 'messages' | 'attempts' | 'receipts' | 'inbox'
  readonly column: 'seq' | 'at' | 'generation'
  /** What a bound counts: seqs (or generations), or milliseconds since 1970. */
  readonly unit: 'seq' | 'ms'
}

export const messagesTable: RangeTable = { table: 'messages', column: 'seq', unit: 'seq' }
export const attemptsTable: RangeTable = { table: 'attempts', column: 'at', unit: 'ms' }
export const receiptsTable: RangeTable = { table: 'receipts', column: 'at', unit: 'ms' }

export interface PartitionInfo {
  /** Of the table; a partition keeps it for as long as its bounds. */
  readonly oid: number
  readonly name: string
  /** First value in it; null: MINVALUE. */
  readonly lower: number | null
  /** First value behind it; null: MAXVALUE, which is the tail. */
  readonly upper: number | null
  /** As of the last ANALYZE or VACUUM; 0 before the first. */
  readonly rowEstimate: number
  /** With indexes and TOAST. */
  readonly bytes: number
  /** No row that this session can see. */
  readonly empty: boolean
  /** A DETACH CONCURRENTLY that did not come to its end: gone for readers, not yet on its own. */
  readonly detachPending: boolean
}

/** Its generations are made by waybill.inbox_maintain; only looked at and detached from here. */
export const inboxTable: RangeTable = { table: 'inbox', column: 'generation', unit: 'seq' }

const timeListSql = loadSql(import.meta.url, './partition_list_time.sql')
const seqListSql = loadSql(import.meta.url, './partition_list_seq.sql')
const listSql = {
  messages: seqListSql,
  attempts: timeListSql,
  receipts: timeListSql.replace('waybill.attempts', 'waybill.receipts'),
  inbox: seqListSql.replace('waybill.messages', 'waybill.inbox').replaceAll('m.seq', 'm.generation'),
}

interface Row {
  readonly oid: number
  readonly name: string
  readonly lower: string | null
  readonly upper: string | null
  readonly row_estimate: number
  readonly bytes: string
  readonly empty: boolean
  readonly detach_pending: boolean
}

/** The partitions of a table, lowest first. Costs an index probe for each. */
export async function listRanges(client: pg.ClientBase, { table }: RangeTable): Promise<PartitionInfo[]> {
  const { rows } = await client.query<Row>(listSql[table], [`waybill.${table}`])
  return rows.map((row) => ({
    oid: row.oid,
    name: row.name,
    lower: row.lower === null ? null : Number(row.lower),
    upper: row.upper === null ? null : Number(row.upper),
    rowEstimate: row.row_estimate,
    bytes: Number(row.bytes),
    empty: row.empty,
    detachPending: row.detach_pending,
  }))
}

/** The partitions of the log: bounds in seqs, size, and whether anything is in them. */
export function listPartitions(client: pg.ClientBase): Promise<PartitionInfo[]> {
  return listRanges(client, messagesTable)
}

/** `messages_p3000001`, `attempts_p20261124`; whatever begins at MINVALUE is `…_p0`. */
export function partitionName({ table, unit }: RangeTable, lower: number | null): string {
  if (lower === null) return `${table}_p0`
  return `${table}_p${unit === 'seq' ? String(lower) : timeText(lower).slice(0, 10).replaceAll('-', '')}`
}

/** A bound as SQL. Only ever made of a number, so nothing needs to be quoted. */
export function boundSql({ unit }: RangeTable, bound: number | null, whenNull: 'minvalue' | 'maxvalue'): string {
  if (bound === null) return whenNull
  return unit === 'seq' ? String(bound) : `'${timeText(bound)}'`
}

function timeText(ms: number): string {
  return new Date(ms).toISOString()
}
