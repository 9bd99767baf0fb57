import { InputError, type Problem } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { handlerProblem } from '../jobs/handlers.js'
import type { JobHandlerOptions, QueueOptions } from '../jobs/types.js'
import { concurrencyProblem } from '../jobs/worker-options.js'
import { unknownOptions } from '../config/check-members.js'
import type { FoundHandler } from './find-handlers.js'
import type { OnMessageOptions } from './on-message.js'
import type { WaybillWorkerOptions } from './options.js'

/** A queue, and the handlers of its jobs by name or pattern. */
export interface PlannedQueue {
  readonly name: string
  readonly options: QueueOptions
  readonly handlers: Readonly<Record<string, JobHandlerOptions>>
}

const optionNames: Readonly<Record<keyof OnMessageOptions, true>> = {
  queue: true,
  concurrency: true,
  timeoutMs: true,
  backoff: true,
  module: true,
}

/**
 * Which queues there are to work on. Throws an `InputError` (`WAYBILL_NESTJS_INVALID`) that names the class and the method
 * of every handler that can't work.
 */
export function planQueues(
  handlers: readonly FoundHandler[],
  worker: WaybillWorkerOptions | undefined,
): PlannedQueue[] {
  const problems = handlers.flatMap(problemsOf)
  const queues = new Map<string, FoundHandler[]>()
  for (const handler of handlers) {
    const name = handler.options.queue ?? 'default'
    const others = queues.get(name) ?? []
    problems.push(...conflictsOf(handler, others, name))
    queues.set(name, [...others, handler])
  }
  const wanted = worker?.queues
  if (worker !== undefined && handlers.length === 0) {
    problems.push({ path: 'worker', message: 'has nothing to do: no provider has a method with @OnMessage' })
  } else {
    for (const name of Object.keys(wanted ?? {}).filter((name) => !queues.has(name))) {
      const message = `no @OnMessage is for this queue; there are: ${[...queues.keys()].join(', ')}`
      problems.push({ path: `worker.queues.${name}`, message })
    }
  }
  if (problems.length > 0)
    throw new InputError('WAYBILL_NESTJS_INVALID', 'the handlers of messages are not valid:', problems)
  return [...queues]
    .filter(([name]) => wanted === undefined || Object.hasOwn(wanted, name))
    .map(([name, found]) => ({
      name,
      options: { ...concurrencyOf(found), ...wanted?.[name] },
      handlers: Object.fromEntries(
        found.sort(bySpecificity).map(({ pattern, run, options }) => [pattern, { ...pick(options), run }]),
      ),
    }))
}

function problemsOf({ place, pattern, options, run, scoped }: FoundHandler): Problem[] {
  if (typeof pattern !== 'string')
    return [{ path: place, message: `the topic is ${shapeOf(pattern)}; give its name, or a pattern such as order.*` }]
  const { queue, concurrency } = options
  const said = unknownOptions(options, Object.keys(optionNames)).map(({ name, message }) => `${name} ${message}`)
  const wrong = handlerProblem(pattern, { ...pick(options), run })
  if (wrong !== undefined) said.push(`${JSON.stringify(pattern)} ${wrong}`)
  if (queue !== undefined && (typeof queue !== 'string' || queue === ''))
    said.push(`queue is ${shapeOf(queue)}; give the "queue" of a destination of kind jobs`)
  const tooMany = concurrency === undefined ? undefined : concurrencyProblem(concurrency)
  if (tooMany !== undefined) said.push(`concurrency ${tooMany}`)
  if (scoped)
    said.push(
      'its class is scoped (REQUEST or TRANSIENT, or it injects what is), and a job has no request; give the class the default scope, and get what is scoped from ModuleRef.resolve()',
    )
  return said.map((message) => ({ path: place, message }))
}

function conflictsOf(handler: FoundHandler, others: readonly FoundHandler[], queue: string): Problem[] {
  const { place, pattern, options } = handler
  const problems: Problem[] = []
  const same = others.find((other) => other.pattern === pattern)
  if (same !== undefined) {
    const message = `${JSON.stringify(pattern)} of queue ${queue} has a handler already: ${same.place}; leave one, or give each a queue and a destination of its own`
    problems.push({ path: place, message })
  }
  const concurrency = options?.concurrency
  const unlike = others.find(({ options }) => options?.concurrency !== undefined && options.concurrency !== concurrency)
  if (concurrency !== undefined && unlike !== undefined) {
    const message = `concurrency is ${concurrency}, and ${unlike.options.concurrency} at ${unlike.place}; it is of the whole queue ${queue}: say it once`
    problems.push({ path: place, message })
  }
  return problems
}

function concurrencyOf(handlers: readonly FoundHandler[]): QueueOptions {
  const concurrency = handlers.find(({ options }) => options.concurrency !== undefined)?.options.concurrency
  return concurrency === undefined ? {} : { concurrency }
}

function pick({ timeoutMs, backoff }: OnMessageOptions): Omit<JobHandlerOptions, 'run'> {
  return { ...(timeoutMs !== undefined && { timeoutMs }), ...(backoff !== undefined && { backoff }) }
}

/** The first pattern that fits is taken: a word goes before `*`, and `*` before `**`, word by word from the left. */
function bySpecificity(a: FoundHandler, b: FoundHandler): number {
  const rank = ({ pattern }: FoundHandler): string => pattern.replace(/\*\*$/, '~~').replaceAll('*', '}')
  return rank(a) < rank(b) ? -1 : 1
}
