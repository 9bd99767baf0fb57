import { InputError, WaybillError, type Problem } from '../core/errors.js'
import { longestTimerMs } from '../core/clock.js'
import { isTopicPattern, topicMatcher } from '../core/topic-pattern.js'
import type { JobHandler, JobHandlerOptions } from './types.js'

/** Finds the handler of a job by name: the exact name first, then the first pattern that fits. */
export class Handlers {
  readonly #exact = new Map<string, JobHandlerOptions>()
  readonly #patterns: { readonly fits: (name: string) => boolean; readonly handler: JobHandlerOptions }[] = []
  readonly #names: readonly string[]

  /** Throws `WAYBILL_JOB_INVALID` with everything that is wrong. */
  constructor(handlers: Readonly<Record<string, JobHandler | JobHandlerOptions>>) {
    const problems: Problem[] = []
    for (const [name, given] of Object.entries(handlers)) {
      const handler = typeof given === 'function' ? { run: given } : given
      const problem = handlerProblem(name, handler)
      if (problem !== undefined) problems.push({ path: `handlers[${JSON.stringify(name)}]`, message: problem })
      else if (name.includes('*')) this.#patterns.push({ fits: topicMatcher([name]), handler })
      else this.#exact.set(name, handler)
    }
    if (problems.length > 0)
      throw new InputError('WAYBILL_JOB_INVALID', "the worker's handlers are not valid:", problems)
    this.#names = Object.keys(handlers)
  }

  /** Throws `WAYBILL_UNKNOWN_JOB`, with the names that there are. */
  find(name: string): JobHandlerOptions {
    const handler = this.#exact.get(name) ?? this.#patterns.find(({ fits }) => fits(name))?.handler
    if (handler) return handler
    const known = this.#names.map((known) => JSON.stringify(known)).join(', ') || 'none'
    throw new WaybillError(
      'WAYBILL_UNKNOWN_JOB',
      `this worker has no handler for a job named ${JSON.stringify(name)}; it has: ${known}`,
    )
  }
}

/** What is wrong with a handler, and what to do; undefined when nothing is. */
export function handlerProblem(name: string, handler: JobHandlerOptions): string | undefined {
  if (typeof handler?.run !== 'function') return 'must be a function, or an object whose "run" is one'
  if (name === '') return 'a job has a name that is not empty'
  if (name.includes('*') && !isTopicPattern(name)) {
    return 'is not a pattern: "*" stands for one word between dots, a last "**" for one or more'
  }
  if (handler.timeoutMs !== undefined && !(handler.timeoutMs > 0 && handler.timeoutMs <= longestTimerMs)) {
    return `timeoutMs is ${handler.timeoutMs}; give milliseconds above 0 and up to 24 days, or leave it out for none`
  }
  return undefined
}
