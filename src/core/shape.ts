import { types } from 'node:util'

/** What a value is, for an error: its type and size, never its content (payloads are not for logs). Never throws. */
export function shapeOf(value: unknown): string {
  try {
    return shapeOfAny(value)
  } catch {
    return "an object that can't be looked at"
  }
}

function shapeOfAny(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return value.length === 0 ? 'an empty array' : `an array of ${value.length}`
  switch (typeof value) {
    case 'undefined':
      return 'undefined'
    case 'string':
      return value === '' ? 'an empty string' : `a string of ${value.length} characters`
    case 'number':
      return Number.isFinite(value) ? 'a number' : String(value)
    case 'bigint':
      return 'a BigInt'
    case 'boolean':
    case 'symbol':
    case 'function':
      return `a ${typeof value}`
    case 'object':
      break
  }
  return shapeOfObject(value)
}

function shapeOfObject(value: object): string {
  if (types.isPromise(value)) return 'a Promise (is an await missing?)'
  if (types.isDate(value)) return Number.isNaN(value.getTime()) ? 'an invalid Date' : 'a Date'
  if (types.isNativeError(value)) return 'an Error'
  if (types.isMap(value)) return `a Map of ${value.size}`
  if (types.isSet(value)) return `a Set of ${value.size}`
  const name = constructorName(value)
  return name === undefined || name === 'Object' ? 'an object' : `an object of class ${name}`
}

/** Name of the class that made an object, where it has one. */
export function constructorName(value: object): string | undefined {
  const made: unknown = (Object.getPrototypeOf(value) as { constructor?: unknown } | null)?.constructor
  return typeof made === 'function' && made.name !== '' ? made.name : undefined
}
