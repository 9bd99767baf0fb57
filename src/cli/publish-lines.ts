import { type MessageOptions, type Queue, rawJson, type RawJson } from '../app/publishing.js'
import { InputError, type Problem } from '../core/errors.js'
import type { InputLine } from './read-lines.js'
import { rawMembers } from './raw-members.js'

export type LineMessage = { readonly topic: string; readonly payload: RawJson } & MessageOptions

/** How lines become messages: with a topic each is a payload; without one each is an object that says everything. */
export interface LineRules {
  readonly topic: string | undefined
  /** For every line that does not say otherwise. */
  readonly options: MessageOptions
}

const summary = 'the input is not valid'

/** Members of a line that is an object, beside `topic` and `payload`: the options of `Queue.publish`. */
const members = ['key', 'headers', 'id', 'at', 'delay', 'dedupeKey', 'dedupeWindow', 'to', 'keyLock'] as const

/** @throws InputError whose problems begin with `line N` */
export function toMessage({ number, text }: InputLine, { topic, options }: LineRules): LineMessage {
  const value = parse(text, number)
  if (topic !== undefined) return { topic, payload: rawJson(text), ...options }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refused(
      number,
      '',
      'is not a JSON object; give {"topic": …, "payload": …}, or name a topic on the command line',
    )
  }
  const line = value as Record<string, unknown>
  const unknown = Object.keys(line).filter((name) => ![...members, 'topic', 'payload'].includes(name))
  if (unknown[0] !== undefined)
    throw refused(number, unknown[0], `is not known; known: topic, payload, ${members.join(', ')}`)
  const payload = rawMembers(text).get('payload')
  if (payload === undefined) throw refused(number, 'payload', 'is missing; give any JSON value')
  const given = Object.fromEntries(members.filter((name) => name in line).map((name) => [name, line[name]]))
  const at = 'at' in line ? { at: time(line['at'], number) } : {}
  return { topic: line['topic'] as string, payload: rawJson(payload), ...options, ...given, ...at }
}

/**
 * Publishes a batch, all of it or nothing. Gives the ids.
 * @throws InputError whose problems name lines, not elements
 */
export async function publishLines(queue: Queue, lines: readonly InputLine[], rules: LineRules): Promise<string[]> {
  const messages = lines.map((line) => toMessage(line, rules))
  try {
    return await queue.publishMany(messages, { tx: null })
  } catch (error) {
    if (!(error instanceof InputError)) throw error
    const problems = error.problems.map((problem) => named(problem, lines))
    throw new InputError(error.code, summary, problems, { cause: error })
  }
}

/** `messages[3].key` → `line 4.key`. */
function named({ path, message }: Problem, lines: readonly InputLine[]): Problem {
  const match = /^messages\[(\d+)\]\.?(.*)$/.exec(path)
  const line = match === null ? undefined : lines[Number(match[1])]
  if (line === undefined) return { path, message }
  return { path: pathOf(line.number, match?.[2] ?? ''), message }
}

function pathOf(line: number, field: string): string {
  return field === '' ? `line ${line}` : `line ${line}, ${field}`
}

function refused(line: number, field: string, message: string): InputError {
  return new InputError('WAYBILL_PUBLISH_INVALID', summary, [{ path: pathOf(line, field), message }])
}

function parse(text: string, line: number): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    // the parser's message quotes the text around the fault
    throw refused(line, '', 'is not JSON; give one JSON value on each line')
  }
}

function time(value: unknown, line: number): Date {
  const date = typeof value === 'string' && /T.*(Z|[+-]\d{2}:?\d{2})$/.test(value) ? new Date(value) : undefined
  if (date !== undefined && !Number.isNaN(date.getTime())) return date
  throw refused(line, 'at', 'is not a time with its zone such as 2026-01-31T08:00:00Z')
}
