import type pg from 'pg'
import { rawTypes } from '../db/pool.js'
import { loadSql } from '../db/sql.js'
import { type Delta, endedStragglers } from './delta.js'
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
  readonly filter: PageFilter | null
}

export interface Page {
  readonly messages: readonly LogMessage[]
  /** Everything of the delta up to here is in this page or one before. */
  readonly after: number
  /** Nothing of the delta is left. */
  readonly drained: boolean
}

/** The narrow door between lanes and the log. PostgreSQL's is the first; a Kafka log can be another. */
export interface LogReader {
  page(request: PageRequest): Promise<Page>
  /** Messages by seq, for parked deliveries. Those that are gone are missing from the answer. */
  load(seqs: readonly number[]): Promise<LogMessage[]>
}

/**
 * Reads deltas page by page. Statements are unnamed on purpose: the planner then sees the bounds on seq and touches
 * only the partitions between them.
 */
export class PostgresLogReader implements LogReader {
  readonly #pool: pg.Pool

  constructor(pool: pg.Pool) {
    this.#pool = pool
  }

  async page({ delta, after, limit, span, filter }: PageRequest): Promise<Page> {
    const topic = filter?.topicRegex ?? null
    const destination = filter?.destination ?? null
    const { from, to } = delta
    if (after < from.floor) {
      const running = endedStragglers(delta, after)
      if (running.length > 0) {
        const xids = running.map((r) => r.xid)
        const floors = running.map((r) => r.floor)
        const messages = await this.#read(stragglersSql, [after, from.floor, xids, floors, limit, topic, destination])
        const last = messages.at(-1)
        const covered = messages.length < limit || last === undefined ? from.floor : last.seq
        return { messages, after: covered, drained: covered >= from.floor && from.floor >= to.ceiling }
      }
    }
    const low = Math.max(after, from.floor)
    if (low >= to.ceiling) return { messages: [], after: Math.max(after, to.ceiling), drained: true }
    const high = Math.min(to.ceiling, low + span)
    const messages = await this.#read(pageSql, [low, high, from.snapshot, to.snapshot, limit, topic, destination])
    const last = messages.at(-1)
    const covered = messages.length < limit || last === undefined ? high : last.seq
    return { messages, after: covered, drained: covered >= to.ceiling }
  }

  async load(seqs: readonly number[]): Promise<LogMessage[]> {
    if (seqs.length === 0) return []
    return this.#read(loadSqlText, [seqs, Math.min(...seqs), Math.max(...seqs)])
  }

  async #read(text: string, values: unknown[]): Promise<LogMessage[]> {
    const { rows } = await this.#pool.query<(string | null)[]>({ text, values, rowMode: 'array', types: rawTypes })
    return rows.map((row) => new LogMessage(row))
  }
}
