import type { PublishedMessage } from './message.js'

const valueLength = 100
const payloadLength = 200

/** A value as one line of a test's output: JSON, a matcher's own text, a predicate's source. Cut at 100 characters. */
export function valueText(value: unknown): string {
  return shorten(textOf(value), valueLength)
}

function textOf(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'function') return String(value).replaceAll(/\s+/g, ' ')
  const text = JSON.stringify(value, matcherText) as string | undefined
  return text?.replaceAll(marked, (_, inner: string) => JSON.parse(`"${inner}"`) as string) ?? typeof value
}

/** What stands for no JSON is marked for as long as it is text within JSON. */
const mark = '\u0001'
const marked = /"\\u0001(.*?)\\u0001"/g
const unquoted = (text: string): string => mark + text + mark

/** For JSON.stringify, which would show a matcher's insides. */
function matcherText(_name: string, value: unknown): unknown {
  if (typeof value === 'function') return unquoted(textOf(value))
  if (value instanceof RegExp || typeof value === 'bigint' || typeof value === 'symbol') return unquoted(String(value))
  if (typeof value !== 'object' || value === null || !('asymmetricMatch' in value)) return value
  const { sample } = value as { sample?: unknown }
  // eslint-disable-next-line @typescript-eslint/no-base-to-string -- a matcher has a toString of its own
  const name = isNamed(value) ? value.toAsymmetricMatcher() : String(value)
  return sample !== undefined && typeof sample !== 'function' ? { [name]: sample } : unquoted(name)
}

/** expect.any and its like; others are named by their text, and show what they were given. */
function isNamed(value: object): value is { toAsymmetricMatcher(): string } {
  return typeof (value as { toAsymmetricMatcher?: unknown }).toAsymmetricMatcher === 'function'
}

/** `order.created  key "o1"  {"id":"o1"}  in 5m` */
export function messageText({ topic, key, payloadText, headers, to, at }: PublishedMessage): string {
  const parts = [topic, key === null ? 'no key' : `key ${JSON.stringify(key)}`, shorten(payloadText, payloadLength)]
  if (Object.keys(headers).length > 0) parts.push(`headers ${valueText(headers)}`)
  if (to !== null) parts.push(`to ${to.join(', ')}`)
  if (at !== null) parts.push(`at ${at.toISOString()}`)
  return parts.join('  ')
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length)}… (${text.length} characters)`
}
