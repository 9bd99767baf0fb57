import {
  explainDatabaseError,
  failedTransaction,
  withHint,
  type DatabaseErrorFacts,
  type Explanations,
} from '../core/database-error.js'
import { InputError, WaybillError } from '../core/errors.js'

const schemaMissing: Explanations[string] = ({ message }, options) =>
  new WaybillError(
    'WAYBILL_SCHEMA_MISSING',
    `Waybill's schema is missing from this database or older than this package (${message}); run: waybill migrate`,
    options,
  )

const explanations: Explanations = {
  // invalid_parameter_value, raised by waybill.check_message
  '22023': (facts, options) =>
    new InputError(
      'WAYBILL_PUBLISH_INVALID',
      'the database refused the message; nothing was published',
      [problem(facts)],
      options,
    ),
  '42883': schemaMissing, // undefined_function
  '3F000': schemaMissing, // invalid_schema_name
  '42P01': schemaMissing, // undefined_table
  // insufficient_privilege
  '42501': ({ message }, options) =>
    new WaybillError(
      'WAYBILL_PERMISSION_DENIED',
      `the database's role may not publish (${message}); as the schema's owner run: grant waybill_publisher to <role> (waybill migrate --roles makes that role). Where that is granted, row-level security is on: alter table waybill.messages disable row level security`,
      options,
    ),
  '25P02': failedTransaction(),
}

/** The error a publisher sees. */
export function asPublishError(error: unknown): unknown {
  return explainDatabaseError(error, explanations)
}

function problem({ message, hint, column }: DatabaseErrorFacts): { path: string; message: string } {
  const index = column !== undefined && /^\d+$/.test(column) ? Number(column) - 1 : undefined
  const text = message.replace(/^waybill\.publish: /, '')
  return { path: index === undefined ? '' : `messages[${index}]`, message: withHint({ message: text, hint }) }
}
