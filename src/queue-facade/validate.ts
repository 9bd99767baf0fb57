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
  return typeof (result as Partial<Promise<Result>> | null | undefined)?.then === 'function'
}

function outputOf(result: StandardSchemaV1.Result<unknown>, topic: string, path: readonly PropertyKey[]): unknown {
  const { issues } = checkedResult(result, topic)
  if (!issues) return (result as StandardSchemaV1.SuccessResult<unknown>).value
  throw new InputError(
    'WAYBILL_PAYLOAD_INVALID',
    `the payload does not fit the schema of topic ${JSON.stringify(topic)}; nothing was published`,
    issues.map((issue) => ({ path: pathText([...path, ...stepsOf(issue)]), message: textOf(issue) })),
  )
}

/** A schema is code of others: what it gives may be anything. */
function checkedResult(result: unknown, topic: string): StandardSchemaV1.Result<unknown> {
  const { issues } = (typeof result === 'object' && result !== null ? result : { issues: 0 }) as { issues?: unknown }
  if (issues === undefined || Array.isArray(issues)) return result as StandardSchemaV1.Result<unknown>
  throw new InputError('WAYBILL_PUBLISH_INVALID', 'the topics are not valid', [
    {
      path: pathText(['topics', topic]),
      message:
        'is no Standard Schema: its validate gave neither { value } nor { issues: […] }; give a schema of zod ≥ 3.24, valibot ≥ 1, arktype ≥ 2, …',
    },
  ])
}

type Issue = { readonly path?: unknown; readonly message?: unknown } | null | undefined

function stepsOf(issue: unknown): PropertyKey[] {
  const path: unknown = (issue as Issue)?.path
  if (!Array.isArray(path)) return []
  return path.map((step: unknown) => {
    const key = typeof step === 'object' && step !== null ? (step as { key?: unknown }).key : step
    return typeof key === 'string' || typeof key === 'number' || typeof key === 'symbol' ? key : '?'
  })
}

function textOf(issue: unknown): string {
  const message: unknown = (issue as Issue)?.message
  return typeof message === 'string' ? message : 'does not fit'
}
