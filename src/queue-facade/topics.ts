import type { StandardSchemaV1 } from '@standard-schema/spec'
import { InputError, type Problem } from '../core/errors.js'
import { isTopic } from '../core/topic-pattern.js'
import { pathText } from './path-text.js'
import type { RawJson } from './raw-json.js'
import { shapeOf } from '../core/shape.js'

/** Topics and the schema of each one's payload. */
export type TopicMap = Readonly<Record<string, StandardSchemaV1>>

/** What JSON can say, and what has one obvious form in it: a Date is its ISO text, undefined members are left out. */
export type JsonLike =
  | string
  | number
  | boolean
  | null
  | Date
  | { toJSON(key?: string): unknown }
  | readonly JsonLike[]
  | { readonly [member: string]: JsonLike | undefined }

/** Any topic, any JSON: a queue that was given no topics. */
export type AnyTopics = Readonly<Record<string, StandardSchemaV1<JsonLike, JsonLike>>>

export type TopicOf<Topics extends TopicMap> = Extract<keyof Topics, string>

/** What is given to `publish`: the schema's input, or JSON text as it is. */
export type PayloadOf<Topics extends TopicMap, Topic extends TopicOf<Topics>> =
  StandardSchemaV1.InferInput<Topics[Topic]> | RawJson

/** What is stored and delivered: the schema's output. Dates in it have become ISO text. */
export type StoredPayloadOf<Topics extends TopicMap, Topic extends TopicOf<Topics>> = StandardSchemaV1.InferOutput<
  Topics[Topic]
>

/** Takes anything: what the encoder refuses is refused there. */
const anyJson: StandardSchemaV1<JsonLike, JsonLike> = {
  '~standard': { version: 1, vendor: 'waybill', validate: (value) => ({ value: value as JsonLike }) },
}

/**
 * Declares topics: `{ 'order.created': schema }` with any Standard Schema (zod, valibot, arktype, …; async ones too), or
 * a plain list of names whose payloads are any JSON. Give the result to `new Queue({ topics })`, and to consumers for
 * its types.
 *
 * Throws an `InputError` (`WAYBILL_PUBLISH_INVALID`) that lists every name or schema that is not valid.
 */
export function defineTopics<const Topics extends TopicMap>(topics: Topics): Readonly<Topics>
export function defineTopics<const Name extends string>(
  names: readonly Name[],
): Readonly<Record<Name, StandardSchemaV1<JsonLike, JsonLike>>>
export function defineTopics(topics: TopicMap | readonly string[]): TopicMap {
  const map = Array.isArray(topics)
    ? Object.fromEntries((topics as readonly string[]).map((name) => [name, anyJson]))
    : (topics as TopicMap)
  checkTopics(map)
  return Object.freeze({ ...map })
}

/** Throws for names that are not topics and for values that are not schemas. */
export function checkTopics(topics: TopicMap): void {
  if (typeof topics !== 'object' || topics === null || Array.isArray(topics)) {
    throw invalid([
      { path: 'topics', message: `is ${shapeOf(topics)}; give defineTopics({ 'order.created': schema })` },
    ])
  }
  const problems: Problem[] = []
  for (const [name, schema] of Object.entries(topics)) {
    const path = pathText(['topics', name])
    if (!isTopic(name)) problems.push({ path, message: topicRemedy })
    if (!isStandardSchema(schema)) {
      problems.push({
        path,
        message: `is ${shapeOf(schema)}, not a Standard Schema; give a schema of zod ≥ 3.24, valibot ≥ 1, arktype ≥ 2, …`,
      })
    }
  }
  if (problems.length > 0) throw invalid(problems)
}

export const topicRemedy =
  'is not a topic; use 1 to 255 characters: words of letters, digits, "_" and "-" joined by dots, as in order.created'

function invalid(problems: Problem[]): InputError {
  return new InputError('WAYBILL_PUBLISH_INVALID', 'the topics are not valid', problems)
}

function isStandardSchema(schema: unknown): schema is StandardSchemaV1 {
  // arktype's are functions
  if ((typeof schema !== 'object' && typeof schema !== 'function') || schema === null) return false
  const standard = (schema as Partial<StandardSchemaV1>)['~standard']
  return typeof standard === 'object' && typeof standard?.validate === 'function'
}
