import { InputError, WaybillError, messageOf } from '../core/errors.js'

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

/** The error a publisher sees. What is not Waybill's to explain passes through: constraint, serialization, connection, … */
export function asPublishError(error: unknown): unknown {
  if (WaybillError.isInstance(error)) return error
  const facts = databaseErrorFacts(error)
  if (!facts) return error
  const options = { cause: error }
  switch (facts.sqlstate) {
    case '22023': // invalid_parameter_value, raised by waybill.check_message
      return new InputError(
        'WAYBILL_PUBLISH_INVALID',
        'the database refused the message; nothing was published',
        [problem(facts)],
        options,
      )
    case '42883': // undefined_function
    case '3F000': // invalid_schema_name
    case '42P01': // undefined_table
      return new WaybillError(
        'WAYBILL_SCHEMA_MISSING',
        `Waybill's schema is missing from this database or older than this package (${facts.message}); run: waybill migrate`,
        options,
      )
    case '42501': // insufficient_privilege
      return new WaybillError(
        'WAYBILL_PERMISSION_DENIED',
        `the database's role may not publish (${facts.message}); as the schema's owner run: grant waybill_publisher to <role> (waybill migrate --roles makes that role)`,
        options,
      )
    case '25P02': // in_failed_sql_transaction
      return new WaybillError(
        'WAYBILL_TX_INVALID',
        'tx: an earlier statement of this transaction failed, so nothing more can be written in it; roll it back (and look for the first error)',
        options,
      )
    default:
      return error
  }
}

function problem({ message, hint, column }: DatabaseErrorFacts): { path: string; message: string } {
  const index = column !== undefined && /^\d+$/.test(column) ? Number(column) - 1 : undefined
  const text = message.replace(/^waybill\.publish: /, '')
  return { path: index === undefined ? '' : `messages[${index}]`, message: hint ? `${text}. ${hint}` : text }
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
