import { z } from 'zod'
import type { Problem } from '../core/errors.js'
import { Secret } from './destinations/secret.js'
import { didYouMean } from './did-you-mean.js'

/** Turns what zod says into problems with a path and a remedy. Values are never quoted: one may be a secret. */

type Path = readonly PropertyKey[]

/** `destinations.crm.url`, `routes["order.*"][0]`. */
export function pathText(path: Path): string {
  let result = ''
  for (const key of path) {
    if (typeof key === 'number') result += `[${key}]`
    else if (/^[\w-]+$/.test(String(key))) result += result === '' ? String(key) : `.${String(key)}`
    else result += `[${JSON.stringify(String(key))}]`
  }
  return result
}

export type Parsed<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly problems: Problem[] }

/**
 * Parses `input`; every problem has the path `prefix` and the field's own. `alsoKnown` are keys that are not of the
 * schema but may stand beside its own, for suggestions only.
 */
export function parseWith<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  prefix: Path = [],
  alsoKnown: readonly string[] = [],
): Parsed<z.output<Schema>> {
  const result = schema.safeParse(input, { error: defaultMessage })
  if (result.success) return { ok: true, value: result.data }
  const problems = result.error.issues.flatMap((issue) => problemsOf(issue, { schema, input, prefix, alsoKnown }))
  return { ok: false, problems: unique(problems) }
}

export function unique(problems: readonly Problem[]): Problem[] {
  const seen = new Map(problems.map((problem) => [`${problem.path}\n${problem.message}`, problem]))
  return [...seen.values()]
}

interface Place {
  readonly schema: z.ZodType
  readonly input: unknown
  readonly prefix: Path
  readonly alsoKnown: readonly string[]
}

function problemsOf(issue: z.core.$ZodIssue, place: Place): Problem[] {
  const path = pathText([...place.prefix, ...issue.path])
  if (issue.code === 'unrecognized_keys') {
    const known = [...keysAt(place.schema, issue.path), ...(issue.path.length === 0 ? place.alsoKnown : [])]
    return issue.keys.map((key) => ({
      path: pathText([...place.prefix, ...issue.path, key]),
      message: `is not a known key${didYouMean(key, known) || knownKeys(known)}`,
    }))
  }
  if (issue.code === 'invalid_key' || issue.code === 'invalid_element') {
    return issue.issues.map((inner) => ({ path, message: inner.message }))
  }
  if (issue.code === 'invalid_union' && issue.message === '') {
    const nested = closestOption(issue.errors)
    if (nested) return nested.flatMap((inner) => problemsOf({ ...inner, path: [...issue.path, ...inner.path] }, place))
    return [{ path, message: 'has none of the forms it may have' }]
  }
  // a secret's own schema objects by `custom`; any other code means that the field takes no secret
  const misplaced = issue.code !== 'custom' && valueAt(place.input, issue.path) instanceof Secret
  return [{ path, message: misplaced ? `${issue.message}${notSecret}` : issue.message }]
}

const notSecret = ' (env("NAME") stands for secrets only; read process.env here)'

function knownKeys(known: readonly string[]): string {
  return known.length === 0 ? '' : `; known keys: ${[...known].sort().join(', ')}`
}

/** Of a union's forms the one that the input resembles: a form that objects to details only, and to the fewest. */
function closestOption(options: readonly z.core.$ZodIssue[][]): z.core.$ZodIssue[] | undefined {
  const detailed = options.filter((issues) => issues.every((i) => i.path.length > 0 || i.code === 'unrecognized_keys'))
  return detailed.sort((a, b) => a.length - b.length)[0]
}

/** What is said where a schema has no sentence of its own. */
function defaultMessage(issue: z.core.$ZodRawIssue): string | undefined {
  if (issue.code === 'invalid_union') return ''
  if (issue.code === 'invalid_value' && issue.input === undefined) return `is required: ${alternatives(issue.values)}`
  if (issue.code === 'invalid_value') return `must be ${alternatives(issue.values)}`
  if (issue.code !== 'invalid_type') return undefined
  const expected = typeNames[issue.expected] ?? issue.expected
  return issue.input === undefined ? `is required: ${expected}` : `must be ${expected}, not ${typeName(issue.input)}`
}

const typeNames: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  object: 'an object',
  record: 'an object',
  array: 'a list',
  date: 'a Date',
}

function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (value instanceof Secret) return 'a secret'
  if (Array.isArray(value)) return 'a list'
  return typeNames[typeof value] ?? typeof value
}

function alternatives(values: readonly unknown[]): string {
  return values.map((value) => (typeof value === 'string' ? JSON.stringify(value) : String(value))).join(' or ')
}

function valueAt(input: unknown, path: Path): unknown {
  let value = input
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    value = (value as Record<PropertyKey, unknown>)[key]
  }
  return value
}

/** The keys that the schema knows at a path, for suggestions: looks through defaults, pipes and unions. */
function keysAt(schema: z.core.$ZodType, path: Path): string[] {
  const here = unwrap(schema)
  if (here instanceof z.core.$ZodUnion) return here._zod.def.options.flatMap((option) => keysAt(option, path))
  const [first, ...rest] = path
  if (here instanceof z.core.$ZodObject) {
    const shape = here._zod.def.shape
    if (first === undefined) return Object.keys(shape)
    const child = shape[String(first)]
    return child ? keysAt(child, rest) : []
  }
  if (first === undefined) return []
  if (here instanceof z.core.$ZodRecord) return keysAt(here._zod.def.valueType, rest)
  if (here instanceof z.core.$ZodArray) return keysAt(here._zod.def.element, rest)
  return []
}

function unwrap(schema: z.core.$ZodType): z.core.$ZodType {
  if (schema instanceof z.core.$ZodPipe) return unwrap(schema._zod.def.in)
  if (
    schema instanceof z.core.$ZodDefault ||
    schema instanceof z.core.$ZodPrefault ||
    schema instanceof z.core.$ZodOptional ||
    schema instanceof z.core.$ZodNullable ||
    schema instanceof z.core.$ZodReadonly
  ) {
    return unwrap(schema._zod.def.innerType)
  }
  return schema
}
