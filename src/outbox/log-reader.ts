import type pg from 'pg'
import { WaybillError } from '../core/errors.js'
import { rawTypes } from '../db/pool.js'
import { loadSql } from '../db/sql.js'
import { type Delta, endedStragglers, lowest } from './delta.js'
import { notSeen } from './fenced-read.js'
import { LogMessage } from './message.js'

const pageSql = loadSql(import.meta.url, './sql/message_page.sql')
const stragglersSql = loadSql(import.meta.url, './sql/message_stragglers.sql')
const loadSqlText = loadSql(import.meta.url, './sql/message_load.sql')

/** What a lane wants, for reading it alone: null topics reads everything. */
export interface PageFilter {
  readonly topicRegex: string
  readonly destination: string
}

export interface PageRequest {
  readonly delta: Delta
  /** Read from above this seq. */
  readonly after: number
  /** Rows at most (but all that share the last seq). */
  readonly limit: number
  /** Seqs looked at, at most: keeps a page an index range. */
  readonly span: number
  /** Rows that the caller takes at most: a page that was read with another limit up to this may be given. Default `limit`. */
  readonly most?: number
  readonly filter: PageFilter | null
}

export interface Page {
  readonly messages: readonly LogMessage[]
  /** Everything of the delta up to here is in this page or one before. */
  readonly after: number
  /** Nothing of the delta is left. */
  readonly drained: boolean
  /** Seqs looked at; 0 where only stragglers were. */
  readonly looked: number
  /** What it was read with: where pages are shared, not always what was asked for. */
  readonly limit: number
  readonly span: number
}

/** The narrow door between lanes and the log, of one incarnation. PostgreSQL's is the first; a Kafka log can be another. */
export interface LogReader {
  page(request: PageRequest): Promise<Page>
  /** Messages by seq, for parked deliveries. Those that are gone are missing from the answer. */
  load(seqs: readonly number[]): Promise<LogMessage[]>
}

/**
 * Payload bytes of a page, as PostgreSQL stores them (long ones are compressed there, so in memory it may be more): the
 * page ends with the message that reaches them.
 */
const pageBytes = 8 * 1024 * 1024
/** Bytes that are never worth a second look. */
const smallPayload = 8192

/**
 * Stragglers whose floors lie so near below the delta's come in the page with what is above it. To look at a row
 * costs 0.1 to 0.4 µs, a statement of their own 300.
 */
const defaultNearSeqs = 1000

type Row = (string | null)[]

/**
 * Reads deltas page by page. Statements are unnamed on purpose: the planner then sees the bounds on seq and touches
 * only the partitions between them.
 */
export class PostgresLogReader implements LogReader {
  readonly #pool: pg.Pool
  readonly #nonce: string
  readonly #nearSeqs: number

  /**
   * `nonce`: of the incarnation that is read; on another one, or where rows are hidden, every read rejects. `nearSeqs`: seqs below
   * a delta's floor within which stragglers need no statement of their own.
   */
  constructor(pool: pg.Pool, nonce: string, nearSeqs = defaultNearSeqs) {
    this.#pool = pool
    this.#nonce = nonce
    this.#nearSeqs = nearSeqs
  }

  async page({ delta, after, limit, span, filter }: PageRequest): Promise<Page> {
    const wanted = [limit, filter?.topicRegex ?? null, filter?.destination ?? null]
    const { from, to } = delta
    const running = endedStragglers(delta, after)
    const start = Math.max(after, lowest(delta, running))
    if (from.floor - start > this.#nearSeqs) {
      const values = [after, from.floor, running.map((r) => r.xid), running.map((r) => r.floor), ...wanted]
      const covered = await this.#readWithin(stragglersSql, values, limit, from.floor)
      return { ...covered, drained: covered.after >= from.floor && from.floor >= to.ceiling, looked: 0, limit, span }
    }
    const end = running.length > 0 ? Math.max(to.ceiling, from.floor) : to.ceiling
    if (start >= end) return { messages: [], after: Math.max(after, end), drained: true, looked: 0, limit, span }
    const high = Math.min(end, start + span)
    const values = [start, high, from.snapshot, to.snapshot, ...wanted]
    const below = [from.floor, running.map((r) => r.xid)]
    const covered = await this.#readWithin(pageSql, values, limit, high, below)
    return { ...covered, drained: covered.after >= end, looked: covered.after - start, limit, span }
  }

  async load(seqs: readonly number[]): Promise<LogMessage[]> {
    if (seqs.length === 0) return []
    const rows = await this.#rows(loadSqlText, [seqs, Math.min(...seqs), Math.max(...seqs), this.#nonce])
    return rows.map((row) => new LogMessage(row))
  }

  /**
   * A page of at most `limit` rows and about `pageBytes` bytes. Large payloads stay behind at first, for how many rows the
   * page can hold is known only when their sizes are. `after`: `high` when nothing was left out for its number or size.
   */
  async #readWithin(
    text: string,
    values: unknown[],
    limit: number,
    high: number,
    more: unknown[] = [],
  ): Promise<Pick<Page, 'messages' | 'after'>> {
    const bytes = Math.max(smallPayload, Math.floor(pageBytes / limit))
    const rows = await this.#rows(text, [...values, bytes, this.#nonce, ...more])
    const end = endOfPage(rows)
    const page = end < rows.length ? rows.slice(0, end) : rows
    const left = page.filter((row) => row[4] === null)
    if (left.length > 0) await this.#fetchPayloads(left)
    const messages = page.map((row) => new LogMessage(row))
    const whole = end === rows.length && rows.length < limit
    return { messages, after: whole ? high : (messages.at(-1)?.seq ?? high) }
  }

  async #fetchPayloads(rows: readonly Row[]): Promise<void> {
    const messages = await this.load(rows.map((row) => Number(row[0])))
    const payloads = new Map(messages.map(({ seq, id, payload }) => [`${seq}:${id}`, payload]))
    for (const row of rows) {
      const payload = payloads.get(`${row[0]}:${row[1]}`)
      if (payload === undefined) {
        throw new WaybillError('WAYBILL_NOT_FOUND', `message ${row[1]} was removed from the log while it was read`)
      }
      row[4] = payload
    }
  }

  // A row of nulls: the log was seen, and nothing of it fits. No row: it was not seen.
  async #rows(text: string, values: unknown[]): Promise<Row[]> {
    const { rows } = await this.#pool.query<Row>({ text, values, rowMode: 'array', types: rawTypes })
    const first = rows[0]
    if (first === undefined) throw await notSeen(this.#pool, this.#nonce)
    return first[0] === null ? [] : rows
  }
}

/** How many rows make a page: up to the one that reaches `pageBytes`, and all that share its seq. */
function endOfPage(rows: readonly Row[]): number {
  let bytes = 0
  for (let i = 0; i < rows.length; i++) {
    const row = rows[i] as Row
    bytes += row[4]?.length ?? Number(row[8])
    if (bytes >= pageBytes && rows[i + 1]?.[0] !== row[0]) return i + 1
  }
  return rows.length
}
