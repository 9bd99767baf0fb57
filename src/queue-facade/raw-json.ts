import { InputError, messageOf } from '../core/errors.js'
import { maxDepth } from './json-depth.js'
import { shapeOf } from '../core/shape.js'

const brand: unique symbol = Symbol.for('waybill.raw-json')

/** The prototype of what `rawJson` makes: the encoder looks closer at all that is not plain, and finds it within a payload. */
const noPlainObject = Object.freeze({})

/** JSON text that is stored byte for byte. Made by `rawJson`. */
export interface RawJson {
  readonly [brand]: true
  readonly text: string
}

/**
 * A payload that is JSON text already, such as a webhook's body: it is stored and delivered byte for byte, with its white
 * space, its order of members and its numbers of any size. A topic's schema checks the parsed value and changes nothing.
 *
 * Throws an `InputError` (`WAYBILL_PAYLOAD_INVALID`) when `text` is not JSON, or has half a surrogate pair, which
 * UTF-8 has no form for. Escapes such as `\u0000` are kept; PostgreSQL's `jsonb` and many readers refuse that one.
 */
export function rawJson(text: string): RawJson {
  const problem = problemOf(text)
  if (problem !== undefined) {
    throw new InputError('WAYBILL_PAYLOAD_INVALID', 'rawJson: the text cannot be published', [
      { path: 'text', message: problem },
    ])
  }
  return Object.freeze(Object.assign(Object.create(noPlainObject) as object, { [brand]: true as const, text }))
}

export function isRawJson(value: unknown): value is RawJson {
  return typeof value === 'object' && value !== null && brand in value
}

/** Of valid JSON: how deep it is nested. PostgreSQL's own limit ends the caller's transaction (54001). */
function depthOf(text: string): number {
  if (text.length <= maxDepth * 2) return 0
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 0x22) {
      for (i++; text.charCodeAt(i) !== 0x22; i++) if (text.charCodeAt(i) === 0x5c) i++
    } else if (code === 0x5b || code === 0x7b) {
      if (++depth > deepest) deepest = depth
    } else if (code === 0x5d || code === 0x7d) depth--
  }
  return deepest
}

function problemOf(text: unknown): string | undefined {
  if (typeof text !== 'string')
    return `is ${shapeOf(text)}; give JSON text (bytes: Buffer.from(bytes).toString('utf8'))`
  if (/\p{Surrogate}/u.test(text))
    return 'has half a surrogate pair, which UTF-8 has no form for; write it as an escape'
  try {
    JSON.parse(text)
    return depthOf(text) > maxDepth ? `is nested deeper than ${maxDepth} levels` : undefined
  } catch (error) {
    // V8's message quotes the text around the fault, which may be anything
    const at = /at position \d+/.exec(messageOf(error))?.[0] ?? 'at its end'
    return `is not JSON (${at} of ${text.length} characters); give one JSON value`
  }
}
