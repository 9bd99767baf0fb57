import { InputError, type Problem } from '../core/errors.js'
import type { BackoffSettings } from '../core/backoff.js'
import { longestTimerMs } from '../core/clock.js'
import { isTopicPattern, topicMatcher, topicPatternSource } from '../core/topic-pattern.js'
import type { JobHandler, JobHandlerOptions } from './types.js'

/** The names that there are handlers for, as the database compares them. */
export interface HandledNames {
  readonly exact: readonly string[]
  /** A regular expression of those that patterns fit; null: none do. */
  readonly patterns: string | null
}

/** Finds the handler of a job by name: the exact name first, then the first pattern that fits. */
export class Handlers {
  readonly names: HandledNames
  readonly #exact = new Map<string, JobHandlerOptions>()
  readonly #patterns: { readonly fits: (name: string) => boolean; readonly handler: JobHandlerOptions }[] = []

  /** Throws `WAYBILL_JOB_INVALID` with everything that is wrong. */
  constructor(handlers: Readonly<Record<string, JobHandler | JobHandlerOptions>>) {
    const problems: Problem[] = []
    const sources: string[] = []
    for (const [name, given] of Object.entries(handlers)) {
      const handler = heldHandler(given)
      const problem = handlerProblem(name, handler)
      if (problem !== undefined) problems.push({ path: `handlers[${JSON.stringify(name)}]`, message: problem })
      else if (name.includes('*')) {
        this.#patterns.push({ fits: topicMatcher([name]), handler })
        sources.push(topicPatternSource(name))
      } else this.#exact.set(name, handler)
    }
    if (problems.length > 0)
      throw new InputError('WAYBILL_JOB_INVALID', "the worker's handlers are not valid:", problems)
    this.names = { exact: [...this.#exact.keys()], patterns: sources.length === 0 ? null : sources.join('|') }
  }

  find(name: string): JobHandlerOptions | undefined {
    return this.#exact.get(name) ?? this.#patterns.find(({ fits }) => fits(name))?.handler
  }
}

/** As it is now: what its members answer later changes nothing. `run` keeps its `this`. */
function heldHandler(given: JobHandler | JobHandlerOptions): JobHandlerOptions {
  if (typeof given === 'function') return { run: given }
  if (typeof given?.run !== 'function') return given
  const { run, timeoutMs, backoff } = given
  return {
    run: (job, context) => run.call(given, job, context),
    ...(timeoutMs !== undefined && { timeoutMs }),
    ...(backoff !== undefined && { backoff: { ...backoff } }),
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
  return handler.backoff === undefined ? undefined : backoffProblem(handler.backoff)
}

function backoffProblem({ baseMs, capMs }: BackoffSettings): string | undefined {
  const fits =
    Number.isFinite(baseMs) && Number.isFinite(capMs) && 1 <= baseMs && baseMs <= capMs && capMs <= longestBackoffMs
  return fits ? undefined : 'backoff: baseMs and capMs are milliseconds, 1 ≤ baseMs ≤ capMs ≤ a year'
}

const longestBackoffMs = 365 * 86_400_000
