import { databaseErrorFacts, type DatabaseErrorFacts } from '../core/database-error.js'
import { InputError, WaybillError } from '../core/errors.js'

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
