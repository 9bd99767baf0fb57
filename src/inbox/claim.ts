import { explainDatabaseError, failedTransaction, withHint, type Explanations } from '../core/database-error.js'
import { InputError, WaybillError } from '../core/errors.js'
import { type RunStatement, type Statement, noAnswer, textAnswer } from '../core/statement.js'

/** The SQL side: calls of the functions that any language can use. Parameters and answers are text, for every driver. */

export interface Claim {
  readonly consumer: string
  readonly id: string
  readonly onBusy: 'wait' | 'skip'
}

// an alias of its own for null, which some drivers leave out of a row
const claimText = `select coalesce(waybill.inbox_claim($1::text, $2::text, $3::text)::text, 'busy') as claimed`
const forgetText = 'select waybill.inbox_forget($1::text, $2::text)::text as forgotten'

const answers: Readonly<Record<string, 'first' | 'duplicate' | 'busy'>> = {
  true: 'first',
  false: 'duplicate',
  busy: 'busy',
}

/** Claims a message: whether this is the first time. */
export async function claim(run: RunStatement, message: Claim): Promise<'first' | 'duplicate' | 'busy'> {
  const values = [message.consumer, message.id, message.onBusy]
  const claimed = await call(run, { name: 'waybill_inbox_claim', text: claimText, values }, 'claimed')
  const answer = answers[claimed]
  if (answer !== undefined) return answer
  throw noAnswer('claimed')
}

/** Takes a claim back, in the transaction that made it. */
export async function forget(run: RunStatement, { consumer, id }: Omit<Claim, 'onBusy'>): Promise<void> {
  await call(run, { name: 'waybill_inbox_forget', text: forgetText, values: [consumer, id] }, 'forgotten')
}

async function call(run: RunStatement, statement: Statement, column: string): Promise<string> {
  try {
    return textAnswer(await run(statement), column)
  } catch (error) {
    throw explainDatabaseError(error, explanations)
  }
}

const invalid: Explanations[string] = (facts, options) =>
  new InputError(
    'WAYBILL_INBOX_INVALID',
    'the database refused the claim; nothing was written',
    [{ path: '', message: withHint(facts) }],
    options,
  )

const schemaMissing: Explanations[string] = ({ message }, options) =>
  new WaybillError(
    'WAYBILL_SCHEMA_MISSING',
    `the inbox is missing from this database or older than this package (${message}); run: waybill migrate --only inbox`,
    options,
  )

const explanations: Explanations = {
  '22023': invalid, // invalid_parameter_value, raised by waybill.inbox_claim
  '22021': invalid, // character_not_in_repertoire: a NUL
  '42883': schemaMissing, // undefined_function
  '3F000': schemaMissing, // invalid_schema_name
  // insufficient_privilege
  '42501': ({ message }, options) =>
    new WaybillError(
      'WAYBILL_PERMISSION_DENIED',
      `the database's role may not use the inbox (${message}); as the schema's owner run: grant waybill_consumer to <role> (waybill migrate --only inbox --roles makes that role)`,
      options,
    ),
  '25P02': failedTransaction(),
}
