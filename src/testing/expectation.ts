import { didYouMean } from '../config/did-you-mean.js'
import { parseDuration } from '../core/duration.js'
import { messageOf, type Problem } from '../core/errors.js'
import { isRawJson, type RawJson } from '../queue-facade/raw-json.js'
import { shapeOf } from '../core/shape.js'
import { differences, type AsymmetricMatcher, type Difference, type Expected } from './compare.js'
import { refusal, type PublishedMessage } from './message.js'
import { valueText } from './text.js'

/** What a message must be like. What is left out is not looked at. */
export interface ExpectedMessage<Payload = unknown> {
  readonly key?: Expected<string | null>
  /** A part of it, a predicate or a matcher; `rawJson(text)` asks for exactly these bytes. */
  readonly payload?: Expected<Payload> | RawJson
  /** Some of them. Names in any case. */
  readonly headers?: Readonly<Record<string, Expected<string>>> | AsymmetricMatcher | HeadersPredicate
  readonly id?: Expected<string>
  /** The destinations that were named, in order; null: none were. */
  readonly to?: Expected<readonly string[] | null>
  /** When it is due, to the millisecond; null: it was published for at once. */
  readonly at?: Date | null | AsymmetricMatcher | ((at: Date | null) => boolean)
  /**
   * How long after it was published it is due: milliseconds or text such as `5m`; null: at once. A second less counts as
   * equal (or half of it, or 1 %, whichever fits its size), for the database adds it to the time just before it writes
   * the row. A predicate or a matcher gets milliseconds.
   */
  readonly delay?: number | string | null | AsymmetricMatcher | ((ms: number | null) => boolean)
}

type HeadersPredicate = (headers: Readonly<Record<string, string>>) => boolean

const fields: ReadonlySet<string> = new Set(['key', 'payload', 'headers', 'id', 'to', 'at', 'delay'])

/** Throws an `InputError` for what would pass or fail whatever was published: a misspelt field, or undefined. */
export function checkExpected(expected: unknown): asserts expected is ExpectedMessage {
  if (typeof expected !== 'object' || expected === null || Array.isArray(expected)) {
    throw refusal([{ path: 'expected', message: `is ${shapeOf(expected)}; give { key, payload, headers, … }` }])
  }
  const problems: Problem[] = []
  for (const [name, value] of Object.entries(expected)) {
    if (!fields.has(name)) {
      problems.push({
        path: name,
        message: `is not a field of a message (${[...fields].join(', ')})${didYouMean(name, [...fields])}`,
      })
    } else if (value === undefined) {
      problems.push({ path: name, message: 'is undefined; leave it out, or give null for none' })
    }
  }
  const { delay, at } = expected as ExpectedMessage
  if (typeof delay === 'number' || typeof delay === 'string') delayProblem(delay, problems)
  if (at instanceof Date && Number.isNaN(at.getTime())) problems.push({ path: 'at', message: 'is an invalid Date' })
  if (problems.length > 0) throw refusal(problems)
}

function delayProblem(delay: number | string, problems: Problem[]): void {
  try {
    parseDuration(delay, 'delay')
  } catch (error) {
    problems.push({ path: 'delay', message: messageOf(error).replace('delay: ', '') })
  }
}

/** How a message differs from what is expected; empty when it does not. */
export function messageDifferences(
  expected: ExpectedMessage,
  { key, payload, payloadText, headers, id, to, at, delayMs }: PublishedMessage,
): Difference[] {
  const found: Difference[] = []
  const compare = (name: string, wanted: unknown, actual: unknown): void => {
    if (wanted !== undefined) found.push(...differences(wanted, actual, [name]))
  }
  compare('id', expected.id, id)
  compare('key', expected.key, key)
  if (isRawJson(expected.payload)) {
    const { text } = expected.payload
    if (text !== payloadText)
      found.push({ path: 'payload', expected: `exactly ${valueText(text)}`, actual: valueText(payloadText) })
  } else {
    compare('payload', expected.payload, payload)
  }
  compare('headers', lowerCased(expected.headers), headers)
  compare('to', expected.to, to)
  // a Date on both sides is compared as its ISO text; predicates and matchers get the Date itself
  const exact = expected.at instanceof Date || expected.at === null
  compare('at', expected.at, exact ? (at?.toISOString() ?? null) : at)
  const { delay } = expected
  if (typeof delay === 'number' || typeof delay === 'string') {
    if (!isDelay(parseDuration(delay), delayMs))
      found.push({ path: 'delay', expected: valueText(delay), actual: delayMs === null ? 'null' : `${delayMs} ms` })
  } else {
    compare('delay', delay, delayMs)
  }
  return found
}

function isDelay(expected: number, actual: number | null): boolean {
  if (actual === null) return expected === 0
  // rounded to whole milliseconds
  return actual <= expected + 1 && expected - actual <= Math.max(Math.min(1000, expected / 2), expected / 100)
}

function lowerCased(headers: ExpectedMessage['headers']): unknown {
  if (typeof headers !== 'object' || headers === null || 'asymmetricMatch' in headers) return headers
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))
}
