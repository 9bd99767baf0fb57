import { InputError } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import type { JobHandler, JobHandlerOptions, QueueOptions } from '../jobs/types.js'

export interface OnMessageOptions extends Pick<JobHandlerOptions, 'timeoutMs' | 'backoff'>, QueueOptions {
  /** The queue of the jobs: `queue` of the destination that makes them. Default `default`. */
  readonly queue?: string
  /** The `name` of the module whose jobs these are. Default: the module without a name. */
  readonly module?: string
}

export interface Subscription {
  readonly pattern: string
  readonly options: OnMessageOptions
}

const key = Symbol.for('waybill.onMessage')

type HandlerDecorator = <Method extends JobHandler>(
  target: object,
  method: string | symbol,
  descriptor: TypedPropertyDescriptor<Method>,
) => void

/**
 * The method performs jobs that messages became, where the module has a `worker`. `pattern` is the job's name, which is the
 * message's topic unless the destination says otherwise, or a pattern: `order.*`, `github.**`. The method is called as a
 * `JobHandler` is, with `(job, { signal })`; Nest's guards, pipes, interceptors and filters take no part. May stand on a
 * method several times.
 *
 * A pattern, an option or a provider that can't work is told when the application starts (`WAYBILL_NESTJS_INVALID`).
 */
export function OnMessage(pattern: string, options: OnMessageOptions = {}): HandlerDecorator {
  return (target: unknown, method, descriptor: PropertyDescriptor | undefined) => {
    if (typeof target !== 'object' || target === null || typeof descriptor?.value !== 'function')
      throw misplaced(pattern, typeof target === 'function' ? `${target.name}.${String(method)}` : shapeOf(target))
    // of the class and the method's name, not of the function: another decorator may put its own in its place
    const given = (Reflect.getOwnMetadata(key, target, method) ?? []) as readonly Subscription[]
    Reflect.defineMetadata(key, [...given, { pattern, options }], target, method)
  }
}

function misplaced(pattern: string, place: string): InputError {
  const message = 'put it on a method that is not static, and set "experimentalDecorators" in tsconfig.json'
  const summary = `@OnMessage(${JSON.stringify(pattern)}) can't stand there:`
  return new InputError('WAYBILL_NESTJS_INVALID', summary, [{ path: place, message }])
}

/** What `@OnMessage` said of a method, or of the one that it overrides. */
export function subscriptionsOf(prototype: object, method: string | symbol): readonly Subscription[] {
  return (Reflect.getMetadata(key, prototype, method) as readonly Subscription[] | undefined) ?? []
}
