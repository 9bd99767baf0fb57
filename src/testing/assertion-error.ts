import { WaybillError } from '../core/errors.js'
import type { Difference } from './compare.js'
import { messageDifferences, type ExpectedMessage } from './expectation.js'
import type { PublishedMessage } from './message.js'
import { messageText, valueText } from './text.js'

/** A test's expectation that does not hold, in the form that test runners know: with `actual` and `expected`. */
export class PublishedAssertionError extends WaybillError {
  readonly actual: unknown
  readonly expected: unknown
  readonly generatedMessage = false
  readonly operator: string

  constructor(operator: string, { message, actual, expected }: Finding) {
    super('WAYBILL_ASSERTION_FAILED', message)
    this.name = 'AssertionError'
    this.operator = operator
    this.actual = actual
    this.expected = expected
  }
}

/** What an assertion says when it fails. */
export interface Finding {
  readonly message: string
  readonly actual: unknown
  readonly expected: unknown
}

/** Messages that are listed, at most. */
const listed = 10
/** Differences of the nearest one that are listed, at most. */
const explainedAt = 20

/** No message fits. */
export function missing(topic: string, expected: ExpectedMessage, published: readonly PublishedMessage[]): Finding {
  const lines = ['this was not published in the transaction:', `  ${wanted(topic, expected)}`]
  if (published.length === 0) {
    lines.push('nothing was; what is published on another connection, or with tx: null, is not seen here')
    return { message: lines.join('\n'), actual: [], expected: { topic, ...expected } }
  }
  lines.push(`published instead (${published.length}):`, ...list(published))
  const { at, differences, message } = nearest(topic, expected, published)
  lines.push(published.length === 1 ? 'it differs in:' : `the nearest is ${at + 1}. It differs in:`)
  const shown = differences.slice(0, explainedAt)
  lines.push(...shown.map((each) => `  ${each.path}: expected ${each.expected}, got ${each.actual}`))
  if (differences.length > shown.length) lines.push(`  … and ${differences.length - shown.length} more`)
  return { message: lines.join('\n'), actual: like(expected, message), expected: { topic, ...expected } }
}

/** Messages fit that should not be there. */
export function unwanted(
  topic: string | undefined,
  expected: ExpectedMessage,
  fitting: readonly PublishedMessage[],
): Finding {
  const what = wanted(topic ?? 'any message', expected)
  const lines = ['this was not to be published in the transaction:', `  ${what}`, `published (${fitting.length}):`]
  lines.push(...list(fitting))
  return { message: lines.join('\n'), actual: fitting.map((message) => like(expected, message)), expected: [] }
}

function wanted(topic: string, expected: ExpectedMessage): string {
  const entries = Object.entries(expected) as [string, unknown][]
  return [topic, ...entries.map(([name, value]) => `${name} ${valueText(value)}`)].join('  ')
}

function list(messages: readonly PublishedMessage[]): string[] {
  const lines = messages.slice(0, listed).map((message, i) => `  ${i + 1}. ${messageText(message)}`)
  return messages.length > listed ? [...lines, `  … and ${messages.length - listed} more`] : lines
}

interface Candidate {
  readonly at: number
  readonly message: PublishedMessage
  readonly differences: readonly Difference[]
}

/** One of the topic before one of another; then the one with the fewest differences. */
function nearest(topic: string, expected: ExpectedMessage, published: readonly PublishedMessage[]): Candidate {
  const candidates = published.map((message, at): Candidate => {
    const other = message.topic === topic ? [] : [{ path: 'topic', expected: topic, actual: message.topic }]
    return { at, message, differences: [...other, ...messageDifferences(expected, message)] }
  })
  const rank = ({ message, differences }: Candidate): number =>
    differences.length + (message.topic === topic ? 0 : Number.MAX_SAFE_INTEGER / 2)
  return candidates.reduce((best, each) => (rank(each) < rank(best) ? each : best))
}

/** The fields that were asked about, for the runner's own diff. */
function like(expected: ExpectedMessage, message: PublishedMessage): unknown {
  const { topic, key, payload, headers, id, to, at, delayMs } = message
  const fields: Readonly<Record<string, unknown>> = { key, payload, headers, id, to, at, delay: delayMs }
  return { topic, ...Object.fromEntries(Object.keys(expected).map((name) => [name, fields[name]])) }
}
