import { types } from 'node:util'
import type { Problem } from '../core/errors.js'
import { pathText } from './path-text.js'
import { isRawJson } from './raw-json.js'
import { shapeOf } from '../core/shape.js'
import { unlessItThrows } from '../core/unless-it-throws.js'

/** More than these are not listed. */
const maxProblems = 20

/** Everything that keeps `value` from being written as JSON as it is, with paths; empty when nothing does. Slow. */
export function explainJson(value: unknown, path: readonly PropertyKey[], maxDepth: number): Problem[] {
  const walk: Walk = { problems: [], path: [...path], ancestors: [], root: path.length, maxDepth }
  visit(walk, value, 'top')
  return walk.problems
}

interface Walk {
  readonly problems: Problem[]
  readonly path: PropertyKey[]
  readonly ancestors: object[]
  /** How many steps of the path lead to the payload itself. */
  readonly root: number
  readonly maxDepth: number
}

type Place = 'top' | 'element' | 'member'

function report(walk: Walk, message: string): void {
  walk.problems.push({ path: pathText(walk.path), message })
}

function visit(walk: Walk, given: unknown, place: Place): void {
  if (walk.problems.length >= maxProblems) return
  if (isRawJson(given) && place !== 'top')
    return report(walk, 'is rawJson, which can only be a whole payload; put its value here: JSON.parse(text)')
  const value = honourToJson(given, walk.path.at(-1))
  switch (typeof value) {
    case 'boolean':
      return
    case 'string':
      return visitString(walk, value)
    case 'number':
      if (!Number.isFinite(value))
        report(walk, `is ${value}, which JSON would turn into null; give a finite number or null`)
      return
    case 'undefined':
      if (place === 'top') report(walk, 'is undefined; give a JSON value (null for none)')
      if (place === 'element') report(walk, 'is undefined, which JSON would turn into null; give null or leave it out')
      return
    case 'bigint':
      return report(
        walk,
        'is a BigInt, which JSON has no form for; convert it: String(value) keeps every digit (a schema may do it)',
      )
    case 'function':
    case 'symbol':
      return report(walk, `is a ${typeof value}, which JSON would leave out; give data`)
    case 'object':
      if (value !== null) visitObject(walk, value, value !== given)
  }
}

function visitString(walk: Walk, value: string): void {
  if (value.includes('\0'))
    report(walk, "has the character U+0000, which PostgreSQL's jsonb and text refuse; remove it (rawJson keeps it)")
  else if (/\p{Surrogate}/u.test(value))
    report(walk, 'has half a surrogate pair, often from cutting a string; use value.toWellFormed()')
}

/** `converted`: it is what a toJSON gave. */
function visitObject(walk: Walk, value: object, converted: boolean): void {
  if (types.isBoxedPrimitive(value)) return visit(walk, value.valueOf(), 'element')
  const lossy = lossOf(value, converted)
  if (lossy !== undefined) return report(walk, lossy)
  const seen = walk.ancestors.indexOf(value)
  if (seen >= 0) {
    return report(
      walk,
      `refers back to ${pathText(walk.path.slice(0, walk.root + seen))}; JSON has no form for a circle`,
    )
  }
  if (walk.ancestors.length >= walk.maxDepth) {
    // the path itself would be thousands of characters
    walk.problems.push({
      path: pathText(walk.path.slice(0, walk.root)),
      message: `is nested deeper than ${walk.maxDepth} levels`,
    })
    return
  }
  walk.ancestors.push(value)
  visitMembers(walk, value)
  walk.ancestors.pop()
}

function visitMembers(walk: Walk, value: object): void {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) step(walk, i, value[i], 'element')
    return
  }
  for (const key of Object.keys(value)) {
    if (/[\0\p{Surrogate}]/u.test(key))
      report(walk, 'has a member whose name has U+0000 or half a surrogate pair; rename it')
    else member(walk, value as Record<string, unknown>, key)
  }
}

function member(walk: Walk, of: Record<string, unknown>, key: string): void {
  const value = unlessItThrows(() => ({ is: of[key] }))
  if (value) return step(walk, key, value.is, 'member')
  walk.path.push(key)
  report(walk, 'is a getter that throws; give data')
  walk.path.pop()
}

function step(walk: Walk, key: PropertyKey, value: unknown, place: Place): void {
  walk.path.push(key)
  visit(walk, value, place)
  walk.path.pop()
}

/** As JSON.stringify does it: objects, and BigInts whose prototype was given a toJSON. */
function honourToJson(value: unknown, key: PropertyKey | undefined): unknown {
  if ((typeof value !== 'object' || value === null) && typeof value !== 'bigint') return value
  // an invalid Date answers null
  if (types.isDate(value) && Number.isNaN(value.getTime())) return value
  const { toJSON } = value as { toJSON?: unknown }
  return typeof toJSON === 'function' ? (toJSON.call(value, String(key ?? '')) as unknown) : value
}

/**
 * Why JSON.stringify would write an object as `{}` or as something that is not meant; undefined where it does not. The first lines
 * are for better words; the last is the rule.
 */
function lossOf(value: object, converted: boolean): string | undefined {
  if (converted && !isPlain(value))
    return `has a toJSON that gives ${shapeOf(value)}, which JSON would write member by member; let it give text, a number, an array or a plain object`
  if (types.isDate(value)) return 'is an invalid Date, which JSON would turn into null; give a valid one or null'
  if (types.isMap(value)) return 'is a Map, which JSON would write as {}; use Object.fromEntries(map)'
  if (types.isSet(value)) return 'is a Set, which JSON would write as {}; use [...set]'
  if (types.isPromise(value)) return 'is a Promise; is an await missing?'
  if (types.isNativeError(value)) return 'is an Error, which JSON would write as {}; give its name and message'
  if (types.isAnyArrayBuffer(value) || ArrayBuffer.isView(value)) {
    return `is ${shapeOf(value)}, which JSON has no form for; use Buffer.from(bytes).toString('base64')`
  }
  if (types.isRegExp(value) || types.isWeakMap(value) || types.isWeakSet(value)) {
    return `is ${shapeOf(value)}, which JSON would write as {}; give data`
  }
  if (isPlain(value) || Object.keys(value).length > 0) return undefined
  return `is ${shapeOf(value)}, which has no members that JSON can see and would be written as {}; give data, or a toJSON`
}

/** An array, or an object without a class: of any realm, whose Object.prototype is another. */
function isPlain(value: object): boolean {
  if (Array.isArray(value)) return true
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}
