import { type RunStatement, type Statement, textAnswer, type UnansweredStatement } from '../core/statement.js'
import { arrayLiteral } from './publish-array.js'
import { asPublishError } from './publish-errors.js'

/**
 * The SQL side of publishing: each call is one statement, as a rule a call of the functions that any language can use.
 * Every parameter is text or null and is cast in SQL, first to text: drivers that ask the database for a parameter's type
 * would otherwise encode JSON and arrays a second time. What comes back is text too, so no driver's type parsers matter.
 *
 * With `pg` a plain message is inserted by the statement itself, which costs a tenth less than a call of the function
 * (docs/decisions/2026-11-29-plain-messages-are-inserted.md).
 */

/** A message that was checked, as `waybill.publish` takes it. */
export interface LogMessage {
  /** uuid */
  readonly id: string
  readonly topic: string
  /** JSON text, stored byte for byte. */
  readonly payload: string
  readonly key: string | null
  /** JSON text of an object of strings. */
  readonly headers: string | null
  /** Not before this time. */
  readonly at: Date | null
  /** Not before this many milliseconds from now, by the database's clock. */
  readonly delayMs: number | null
  readonly dedupeKey: string | null
  /** Milliseconds; null: the database's default of 24 hours. */
  readonly dedupeWindowMs: number | null
  readonly destinations: readonly string[] | null
  readonly keyLock: boolean
}

/** Publishes one message. Gives its id, or the first one's where the dedupe key was used before. */
export function publishOne(run: RunStatement, message: LogMessage): Promise<string> {
  return answer(run, isPlain(message) ? plainStatement(message) : fullStatement(message), 'id')
}

/** Publishes all of them or none, in order, in one statement. Gives an id for each. */
export async function publishAll(run: RunStatement, messages: readonly LogMessage[]): Promise<string[]> {
  return (await answer(run, manyStatement(messages), 'ids')).split(',')
}

/** Takes back a message that is still scheduled; false when there is none. */
export async function cancelScheduled(run: RunStatement, id: string): Promise<boolean> {
  return (await answer(run, { name: 'waybill_cancel', text: cancelText, values: [id] }, 'cancelled')) === 'true'
}

async function answer(run: RunStatement, statement: Statement, column: string): Promise<string> {
  try {
    return textAnswer(await run(statement), column)
  } catch (error) {
    throw asPublishError(error)
  }
}

const plainCall = 'waybill.publish($1::text, $2::text::json, $3::text, $4::text::json, $5::text::uuid)'
const plainText = `select ${plainCall}::text as id`
/** For messages that were checked here. What `pg` is given goes as text, so nothing need be said of the types on the way. */
const insertText = `insert into waybill.messages (topic, payload, key, id) values ($1::text, $2::json, $3::text, $4::uuid)`
const insertHeadersText = `insert into waybill.messages (topic, payload, key, id, headers)
  values ($1::text, $2::json, $3::text, $4::uuid, $5::json)`

const fullText = `select waybill.publish($1::text, $2::text::json, $3::text, $4::text::json, $5::text::uuid,
  coalesce($6::text::timestamptz, clock_timestamp() + $7::text::float8 * interval '1 millisecond'),
  $8::text, $9::text::float8 * interval '1 millisecond', $10::text::text[], $11::text::boolean)::text as id`

/** An array whose empty texts stand for null: nothing that may be left out can be an empty text. */
const sparseArray = (parameter: string): string => `array_replace(${parameter}::text::text[], '', null)`

// An array that is null or shorter counts as nulls: what no message uses costs nothing.
const manyText = `select array_to_string(waybill.publish_many(
  $1::text::text[], $2::text::json[], ${sparseArray('$3')}, ${sparseArray('$4')}::json[], $5::text::uuid[],
  array(select coalesce(t.at, clock_timestamp() + t.ms * interval '1 millisecond')
          from unnest(${sparseArray('$6')}::timestamptz[], ${sparseArray('$7')}::float8[]) with ordinality t(at, ms, i) order by t.i),
  ${sparseArray('$8')},
  array(select w.ms * interval '1 millisecond'
          from unnest(${sparseArray('$9')}::float8[]) with ordinality w(ms, i) order by w.i),
  ${sparseArray('$10')}::json[], ${sparseArray('$11')}::boolean[]), ',') as ids`

const cancelText = 'select waybill.cancel($1::text::uuid)::text as cancelled'

function isPlain(message: LogMessage): boolean {
  return (
    message.at === null &&
    message.delayMs === null &&
    message.dedupeKey === null &&
    message.destinations === null &&
    !message.keyLock
  )
}

/** Longer payloads or headers go through the function, which knows the database's own limits (`waybill.set_limits`). */
const insertedCharacters = 16_384

function plainStatement(message: LogMessage): Statement {
  const { topic, payload, key, headers, id } = message
  const long = payload.length > insertedCharacters || (headers !== null && headers.length > insertedCharacters)
  const unanswered = long ? undefined : insertStatement(message)
  return { name: 'waybill_publish_id', text: plainText, values: [topic, payload, key, headers, id], unanswered }
}

/** A parameter more is a hundredth of what the database does, so headers have a statement of their own. */
function insertStatement({ topic, payload, key, headers, id }: LogMessage): UnansweredStatement {
  const values = [topic, payload, key, id]
  // without a dedupe key the id is the one that was given, as uuids are written
  const rows = [{ id: id.toLowerCase() }]
  if (headers === null) return { name: 'waybill_insert', text: insertText, values, rows }
  return { name: 'waybill_insert_headers', text: insertHeadersText, values: [...values, headers], rows }
}

function fullStatement(message: LogMessage): Statement {
  const { topic, payload, key, headers, id, at, delayMs, dedupeKey, dedupeWindowMs, destinations, keyLock } = message
  const values = [
    ...[topic, payload, key, headers, id, isoText(at), numberText(delayMs), dedupeKey, numberText(dedupeWindowMs)],
    ...[destinations && arrayLiteral(destinations), String(keyLock)],
  ]
  return { name: 'waybill_publish_full', text: fullText, values }
}

function manyStatement(messages: readonly LogMessage[]): Statement {
  const column = (value: (message: LogMessage) => string | null): string =>
    arrayLiteral(messages.map((message) => value(message) ?? ''))
  /** Null where no message has it. */
  const sparse = (value: (message: LogMessage) => string | null): string | null =>
    messages.some((message) => value(message) !== null) ? column(value) : null
  const values = [
    column((m) => m.topic),
    column((m) => m.payload),
    sparse((m) => m.key),
    sparse((m) => m.headers),
    column((m) => m.id),
    sparse((m) => isoText(m.at)),
    sparse((m) => numberText(m.delayMs)),
    sparse((m) => m.dedupeKey),
    sparse((m) => numberText(m.dedupeWindowMs)),
    sparse((m) => m.destinations && JSON.stringify(m.destinations)),
    sparse((m) => (m.keyLock ? 'true' : null)),
  ]
  return { name: 'waybill_publish_many', text: manyText, values }
}

function isoText(at: Date | null): string | null {
  return at === null ? null : at.toISOString()
}

function numberText(value: number | null): string | null {
  return value === null ? null : String(value)
}
