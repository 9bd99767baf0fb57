import { checkNames, checkWait } from '../config/check-members.js'
import { InputError, type Problem } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { Queue } from '../queue-facade/queue.js'
import type { InProcessDispatcher, RegisteredTopics, WaybillFastifyOptions } from './types.js'

export interface CheckedOptions {
  readonly queue: Queue<RegisteredTopics>
  /** The queue was made here, and is to be closed here. */
  readonly made: boolean
  readonly dispatcher: InProcessDispatcher | undefined
}

/** What Fastify's `register` takes beside a plugin's own options, and hands on to it. */
const ofFastify: ReadonlySet<string> = new Set(['prefix', 'logLevel', 'logSerializers'])
const dispatcherNames = ['config', 'drainMs', 'hooks', 'registry', 'environment']

/** Throws an `InputError` that lists everything that is wrong. */
export function checkOptions(options: WaybillFastifyOptions): CheckedOptions {
  const problems: Problem[] = []
  const { queue, dispatcher, ...rest } = options
  const ofQueue = Object.fromEntries(Object.entries(rest).filter(([name]) => !ofFastify.has(name)))
  if (dispatcher !== undefined) checkDispatcher(dispatcher, problems)
  if (queue !== undefined) {
    checkQueue(queue, problems)
    for (const path of Object.keys(ofQueue))
      problems.push({ path, message: 'excludes queue; give it to new Queue, or leave queue out' })
  }
  if (problems.length > 0) throw refused(problems)
  if (queue !== undefined) return { queue, made: false, dispatcher }
  return { queue: new Queue<RegisteredTopics>(ofQueue), made: true, dispatcher }
}

export function refused(problems: Problem[]): InputError {
  return new InputError(
    'WAYBILL_CONFIG_INVALID',
    'the Fastify plugin of Waybill cannot be registered like this',
    problems,
  )
}

/** By its methods: an application may have two copies of the package. */
function checkQueue(queue: unknown, problems: Problem[]): void {
  const { publish, publishMany, close } = (queue ?? {}) as Partial<Queue>
  if ([publish, publishMany, close].every((method) => typeof method === 'function')) return
  problems.push({ path: 'queue', message: `is ${shapeOf(queue)}; give new Queue({ topics })` })
}

function checkDispatcher(dispatcher: unknown, problems: Problem[]): void {
  const remedy = 'give { config: await loadConfig() }, or leave it out to have none in this process'
  if (typeof dispatcher !== 'object' || dispatcher === null || !('config' in dispatcher)) {
    problems.push({ path: 'dispatcher', message: `is ${shapeOf(dispatcher)} without a config; ${remedy}` })
    return
  }
  const { config, drainMs } = dispatcher as { config: unknown; drainMs?: unknown }
  checkNames(dispatcher, 'dispatcher', dispatcherNames, problems)
  if (typeof config !== 'object' || config === null || config instanceof Promise)
    problems.push({ path: 'dispatcher.config', message: `is ${shapeOf(config)}; ${remedy}` })
  checkWait(drainMs, 'dispatcher.drainMs', problems)
}
