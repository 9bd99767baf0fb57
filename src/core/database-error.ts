import { messageOf, WaybillError } from './errors.js'

/** What is known of a database's error, whichever driver or ORM it came through. */
export interface DatabaseErrorFacts {
  readonly sqlstate: string
  readonly message: string
  readonly hint: string | undefined
  /** `waybill.publish_many` names the element (1 for the first) in the error's column field. */
  readonly column: string | undefined
}

/**
 * The SQLSTATE and what goes with it: on the error itself (pg and its like), in `meta` (Prisma, with and without a driver
 * adapter), or on a cause (Drizzle, TypeORM, Sequelize and other wrappers). Undefined for what is no database's error.
 */
export function databaseErrorFacts(error: unknown): DatabaseErrorFacts | undefined {
  let current: unknown = error
  for (let depth = 0; depth < 5 && isRecord(current); depth++) {
    const facts = prismaFacts(current) ?? ownFacts(current)
    if (facts) return facts
    current = current['cause'] ?? current['driverError'] ?? current['originalError'] ?? current['original']
  }
  return undefined
}

/** Words for a SQLSTATE, made of what the database said. */
export type Explanations = Readonly<Record<string, (facts: DatabaseErrorFacts, options: ErrorOptions) => WaybillError>>

/**
 * The error a caller sees, in Waybill's words where `explanations` has some for its SQLSTATE. What is not Waybill's to
 * explain passes through, so that those who retry by SQLSTATE still can: constraint, serialization, connection, …
 */
export function explainDatabaseError(error: unknown, explanations: Explanations): unknown {
  if (WaybillError.isInstance(error)) return error
  const facts = databaseErrorFacts(error)
  const explain = facts && Object.hasOwn(explanations, facts.sqlstate) ? explanations[facts.sqlstate] : undefined
  return facts && explain ? explain(facts, { cause: error }) : error
}

const nothingMore = 'nothing more can be written in it; roll it back (and look for the first error)'

/** For SQLSTATE 25P02, in_failed_sql_transaction. */
export function failedTransaction(so = nothingMore): Explanations[string] {
  return (_facts, options) =>
    new WaybillError('WAYBILL_TX_INVALID', `tx: an earlier statement of this transaction failed, so ${so}`, options)
}

/** One text of what the database said and advised. */
export function withHint({ message, hint }: Pick<DatabaseErrorFacts, 'message' | 'hint'>): string {
  return hint === undefined ? message : `${message}. ${hint}`
}

type UnknownRecord = Readonly<Record<string, unknown>>

function isRecord(value: unknown): value is UnknownRecord {
  return typeof value === 'object' && value !== null
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

function sqlstateOf(value: unknown): string | undefined {
  return typeof value === 'string' && /^[0-9A-Z]{5}$/.test(value) ? value : undefined
}

function ownFacts(error: UnknownRecord): DatabaseErrorFacts | undefined {
  const sqlstate = sqlstateOf(error['code'])
  // Prisma's own codes, P1000 to P6999, look like SQLSTATEs; PostgreSQL's class P0 is the only one that begins so
  if (sqlstate === undefined || /^P[1-9]/.test(sqlstate)) return undefined
  return {
    sqlstate,
    message: messageOf(error instanceof Error ? error : (error['message'] ?? sqlstate)),
    hint: string(error['hint']),
    // postgres.js has it under the second name
    column: string(error['column']) ?? string(error['column_name']),
  }
}

function prismaFacts(error: UnknownRecord): DatabaseErrorFacts | undefined {
  const { meta } = error
  if (!isRecord(meta)) return undefined
  const adapter = isRecord(meta['driverAdapterError']) ? meta['driverAdapterError']['cause'] : undefined
  const source = isRecord(adapter) ? adapter : meta
  const sqlstate = sqlstateOf(source['originalCode']) ?? sqlstateOf(source['code'])
  if (sqlstate === undefined) return undefined
  const message = string(source['originalMessage']) ?? string(source['message']) ?? sqlstate
  return { sqlstate, message, hint: string(source['hint']), column: string(source['column']) }
}
