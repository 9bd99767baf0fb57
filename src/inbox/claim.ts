import { explainDatabaseError, failedTransaction, withHint, type Explanations } from '../core/database-error.js'
import { InputError, WaybillError } from '../core/errors.js'
import { type RunStatement, type Statement, noAnswer, textAnswer } from '../core/statement.js'
import { isMarked, marked } from '../transactions/scope.js'

/** The SQL side: calls of the functions that any language can use. Parameters and answers are text, for every driver. */

export interface Claim {
  readonly consumer: string
  readonly id: string
  readonly onBusy: 'wait' | 'skip'
}

// an alias of its own for null, which some drivers leave out of a row
const claimed = `coalesce(waybill.inbox_claim($1::text, $2::text, $3::text)::text, 'busy')`
const claimText = `select concat(${claimed}, left(${marked('$4')}, 0)) as claimed`
// only where the mark is, which a rollback takes away, a savepoint's too: another claim than ours may be there by now
const forgetText = `select case when ${isMarked('$1')} then waybill.inbox_forget($2::text, $3::text)::text else 'false' end as forgotten`

const answers: Readonly<Record<string, 'first' | 'duplicate' | 'busy'>> = {
  true: 'first',
  false: 'duplicate',
  busy: 'busy',
}

/** Claims a message: whether this is the first time. Marks the transaction with `word`, for as long as the claim lasts. */
export async function claim(run: RunStatement, message: Claim, word: string): Promise<'first' | 'duplicate' | 'busy'> {
  const values = [message.consumer, message.id, message.onBusy, word]
  const said = await call(run, { name: 'waybill_inbox_claim', text: claimText, values }, 'claimed')
  const answer = answers[said]
  if (answer !== undefined) return answer
  throw noAnswer('claimed')
}

/** Takes back the claim that was made with `word`, if that is still there. */
export async function forget(run: RunStatement, { consumer, id }: Omit<Claim, 'onBusy'>, word: string): Promise<void> {
  await call(run, { name: 'waybill_inbox_forget', text: forgetText, values: [word, consumer, id] }, 'forgotten')
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
