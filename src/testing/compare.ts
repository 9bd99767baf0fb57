import { types } from 'node:util'
import { messageOf } from '../core/errors.js'
import { pathText } from '../queue-facade/path-text.js'
import { shapeOf } from '../core/shape.js'
import { refusal } from './message.js'
import { valueText } from './text.js'

/** Of a test runner: `expect.any(String)`, `expect.objectContaining({ … })`, or anything with this method. */
export interface AsymmetricMatcher {
  asymmetricMatch(actual: unknown): boolean
}

/**
 * What a value must be: itself, a part of it (members of objects; arrays element by element), a predicate, a test
 * runner's matcher, and for text a regular expression. A Date stands for its ISO text.
 */
export type Expected<Value> = AsymmetricMatcher | ((actual: Value) => boolean) | Part<Value>
type Part<Value> = Value extends string
  ? Value | RegExp | Date
  : Value extends readonly (infer Element)[]
    ? readonly Expected<Element>[]
    : Value extends object
      ? { readonly [Member in keyof Value]?: Expected<Value[Member]> }
      : Value

/** One way in which a value is not what was expected. */
export interface Difference {
  readonly path: string
  readonly expected: string
  readonly actual: string
}

/**
 * How `actual`, which came from JSON, differs from what is expected of it; empty when it does not. Throws an `InputError`
 * for an expectation that says nothing: of what JSON can't hold, or a predicate that answers neither true nor false.
 */
export function differences(expected: unknown, actual: unknown, path: readonly PropertyKey[]): Difference[] {
  const differs = (wanted: string): Difference[] => [
    { path: pathText(path), expected: wanted, actual: valueText(actual) },
  ]
  if (typeof expected === 'function') return predicate(expected as Predicate, actual, path, differs)
  if (isAsymmetricMatcher(expected)) return expected.asymmetricMatch(actual) ? [] : differs(valueText(expected))
  if (expected instanceof RegExp) {
    return typeof actual === 'string' && actual.search(expected) >= 0 ? [] : differs(String(expected))
  }
  const value = jsonOf(expected)
  if (typeof value !== 'object' || value === null) {
    if (typeof value === 'bigint' || typeof value === 'symbol' || Number.isNaN(value)) throw unmatchable(value, path)
    return value === actual ? [] : differs(value === undefined ? 'no such member' : valueText(value))
  }
  if (types.isMap(value) || types.isSet(value) || types.isPromise(value) || types.isNativeError(value)) {
    throw unmatchable(value, path)
  }
  if (Array.isArray(value)) return elements(value, actual, path, differs)
  if (typeof actual !== 'object' || actual === null || Array.isArray(actual)) return differs(valueText(value))
  return Object.entries(value).flatMap(([name, member]) =>
    differences(member, Object.hasOwn(actual, name) ? (actual as Members)[name] : undefined, [...path, name]),
  )
}

type Members = Readonly<Record<string, unknown>>
/** Called with what was published, whatever it takes. */
type Predicate = (actual: unknown) => unknown
type Differs = (wanted: string) => Difference[]

function elements(
  expected: readonly unknown[],
  actual: unknown,
  path: readonly PropertyKey[],
  differs: Differs,
): Difference[] {
  if (!Array.isArray(actual)) return differs(valueText(expected))
  const list = actual as readonly unknown[]
  const found = expected.flatMap((element, i) => differences(element, list[i], [...path, i]))
  if (expected.length === list.length) return found
  return [{ path: pathText([...path, 'length']), expected: `${expected.length}`, actual: `${list.length}` }, ...found]
}

function predicate(test: Predicate, actual: unknown, path: readonly PropertyKey[], differs: Differs): Difference[] {
  let answer: unknown
  try {
    answer = test(actual)
  } catch (error) {
    return differs(`${valueText(test)}, which threw: ${messageOf(error).split('\n')[0] ?? ''}`)
  }
  if (typeof answer === 'boolean') return answer ? [] : differs(valueText(test))
  throw refusal([{ path: pathText(path), message: `the predicate gave ${shapeOf(answer)}; return true or false` }])
}

/** What JSON makes of it: a Date is its ISO text. */
function jsonOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const { toJSON } = value as { toJSON?: unknown }
  return typeof toJSON === 'function' ? (value as { toJSON(): unknown }).toJSON() : value
}

export function isAsymmetricMatcher(value: unknown): value is AsymmetricMatcher {
  if (typeof value !== 'object' || value === null) return false
  return typeof (value as Partial<AsymmetricMatcher>).asymmetricMatch === 'function'
}

function unmatchable(value: unknown, path: readonly PropertyKey[]): Error {
  return refusal([
    { path: pathText(path), message: `is ${shapeOf(value)}, which JSON can't hold; give what it is published as` },
  ])
}
