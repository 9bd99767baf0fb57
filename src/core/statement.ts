import { WaybillError } from './errors.js'

/** One statement with text parameters. `name` is for drivers with named prepared statements, when they are wanted. */
export interface Statement {
  readonly name: string
  readonly text: string
  readonly values: (string | null)[]
  /** The same without an answer, for drivers whose word is enough that it ran: a twenty-fifth of a transaction that publishes. */
  readonly unanswered?: UnansweredStatement | undefined
}

export interface UnansweredStatement {
  readonly name: string
  readonly text: string
  readonly values: (string | null)[]
  /** What it would have given. */
  readonly rows: readonly unknown[]
}

/** A client or a pool of `pg`. */
interface PgQueryable {
  query(query: PgQuery): PromiseLike<{ readonly rows: readonly unknown[]; readonly rowCount?: number | null }>
}

export interface PgQuery {
  readonly name?: string
  readonly text: string
  readonly values?: (string | null)[]
}

/** Runs a statement with `pg`. `prepared`: as a named prepared statement. */
export async function runWithPg(pg: PgQueryable, statement: Statement, prepared: boolean): Promise<readonly unknown[]> {
  const { unanswered } = statement
  const { name, text, values } = unanswered ?? statement
  const { rows, rowCount } = await pg.query(prepared ? { name, text, values } : { text, values })
  if (unanswered === undefined) return rows
  if (rowCount === 0) throw keptOut()
  return unanswered.rows
}

/** The error for an insert that inserted nothing, with the words and the SQLSTATE of `waybill.publish`. */
export function keptOut(): Error {
  const error = new Error('a trigger or a rule on waybill.messages keeps the message out')
  const hint = 'Waybill puts none there: drop it, or let it leave the row as it is'
  return Object.assign(error, { code: '22023', hint })
}

/** Runs a statement where it belongs, and gives its rows as objects. */
export type RunStatement = (statement: Statement) => PromiseLike<readonly unknown[]>

/** The text in a column of the first row: the one form in which all drivers and ORMs give an answer alike. */
export function textAnswer(rows: readonly unknown[], column: string): string {
  const row = rows[0]
  const value = typeof row === 'object' && row !== null ? (row as Record<string, unknown>)[column] : undefined
  if (typeof value === 'string') return value
  throw noAnswer(column)
}

/** For a `tx` whose `query` gives something else. */
export function noAnswer(column: string): WaybillError {
  return new WaybillError(
    'WAYBILL_TX_INVALID',
    `tx: its query(sql, parameters) gave no row with ${column}; it must resolve to an array of objects, or to { rows } of them. Roll the transaction back: the statement may have run`,
  )
}
