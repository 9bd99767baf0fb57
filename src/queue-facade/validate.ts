import type { StandardSchemaV1 } from '@standard-schema/spec'
import { InputError, messageOf } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { unlessItThrows } from '../core/unless-it-throws.js'
import { pathText } from './path-text.js'

/** What a schema made of a payload, or a promise of it, where the schema is asynchronous. */
export type Validated = { readonly value: unknown } | Promise<{ readonly value: unknown }>

/**
 * The schema's output for `value`. A promise only where the schema is asynchronous, so that a publish whose schema is
 * not sends its statement at once. Throws (or rejects with) an `InputError` (`WAYBILL_PAYLOAD_INVALID`), also for an answer
 * that Standard Schema does not know; what the schema itself throws passes as it is.
 */
export function validate(
  schema: StandardSchemaV1,
  value: unknown,
  topic: string,
  path: readonly PropertyKey[],
): Validated {
  const result: unknown = schema['~standard'].validate(value)
  // not by its class: a promise may be of another realm, or a library's own
  return isThenable(result)
    ? Promise.resolve(result).then((settled) => outputOf(settled, topic, path))
    : outputOf(result, topic, path)
}

function isThenable(result: unknown): result is PromiseLike<unknown> {
  if ((typeof result !== 'object' && typeof result !== 'function') || result === null) return false
  return unlessItThrows(() => typeof (result as Partial<PromiseLike<unknown>>).then === 'function') ?? false
}

function outputOf(result: unknown, topic: string, path: readonly PropertyKey[]): { readonly value: unknown } {
  const answer = unlessItThrows(() => readAnswer(result, path))
  if (answer === undefined) {
    throw new InputError('WAYBILL_PUBLISH_INVALID', 'the schema is no Standard Schema; nothing was published', [
      {
        path: pathText(['topics', topic]),
        message: `its validate gave ${shapeOf(result)}; it must give { value }, or { issues } as a list of { message, path }`,
      },
    ])
  }
  if ('value' in answer) return answer
  throw new InputError(
    'WAYBILL_PAYLOAD_INVALID',
    `the payload does not fit the schema of topic ${JSON.stringify(topic)}; nothing was published`,
    answer.problems,
  )
}

interface Refused {
  readonly problems: readonly { readonly path: string; readonly message: string }[]
}

/** Undefined for what Standard Schema does not know. Throws what getters and Proxies in it throw. */
function readAnswer(result: unknown, path: readonly PropertyKey[]): { readonly value: unknown } | Refused | undefined {
  if (typeof result !== 'object' || result === null) return undefined
  const { issues } = result as { readonly issues?: unknown }
  if (issues === undefined || issues === null) return 'value' in result ? { value: result.value } : undefined
  if (!Array.isArray(issues)) return undefined
  return {
    problems: (issues as readonly unknown[]).map((issue) => {
      const { message, path: steps } = (issue ?? {}) as Partial<StandardSchemaV1.Issue>
      return { path: pathText([...path, ...keysOf(steps)]), message: messageOf(message ?? 'does not fit') }
    }),
  }
}

/** The steps of an issue's path, as far as they are keys. */
function keysOf(steps: unknown): PropertyKey[] {
  if (!Array.isArray(steps)) return []
  return (steps as readonly unknown[]).map((step) => {
    const key: unknown = typeof step === 'object' && step !== null && 'key' in step ? step.key : step
    return typeof key === 'string' || typeof key === 'number' || typeof key === 'symbol' ? key : shapeOf(key)
  })
}
