import type { StandardSchemaV1 } from '@standard-schema/spec'
import { InputError } from '../core/errors.js'
import { pathText } from './path-text.js'

/**
 * The schema's output for `value`. A promise only where the schema is asynchronous, so that a publish whose schema is
 * not sends its statement at once. Throws (or rejects with) an `InputError` (`WAYBILL_PAYLOAD_INVALID`).
 */
export function validate(
  schema: StandardSchemaV1,
  value: unknown,
  topic: string,
  path: readonly PropertyKey[],
): unknown {
  const result = schema['~standard'].validate(value)
  // not by its class: a promise may be of another realm, or a library's own
  return isThenable(result)
    ? Promise.resolve(result).then((settled) => outputOf(settled, topic, path))
    : outputOf(result, topic, path)
}

type Result = StandardSchemaV1.Result<unknown>

function isThenable(result: Result | Promise<Result>): result is Promise<Result> {
  return typeof (result as Partial<Promise<Result>>).then === 'function'
}

function outputOf(result: StandardSchemaV1.Result<unknown>, topic: string, path: readonly PropertyKey[]): unknown {
  if (!result.issues) return result.value
  throw new InputError(
    'WAYBILL_PAYLOAD_INVALID',
    `the payload does not fit the schema of topic ${JSON.stringify(topic)}; nothing was published`,
    result.issues.map((issue) => ({
      path: pathText([...path, ...(issue.path ?? []).map((step) => (typeof step === 'object' ? step.key : step))]),
      message: issue.message,
    })),
  )
}
