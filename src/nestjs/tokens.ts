import { Inject, type InjectionToken } from '@nestjs/common'
import { Queue } from '../queue-facade/queue.js'

/** What the queue is provided as: the class `Queue` itself, or the name of the module's. */
export function getQueueToken(name?: string): InjectionToken {
  return name === undefined ? Queue : `WaybillQueue:${name}`
}

/** What the dispatcher is provided as; `undefined` is there where none is configured. */
export function getDispatcherToken(name?: string): InjectionToken {
  return name === undefined ? 'WaybillDispatcher' : `WaybillDispatcher:${name}`
}

/**
 * Injects the queue: `@InjectQueue() private readonly queue: Queue<typeof topics>`. A parameter whose type is `Queue` needs
 * it only where the compiler emits no types of parameters, or where the module has a name.
 */
export function InjectQueue(name?: string): ReturnType<typeof Inject> {
  return Inject(getQueueToken(name))
}

/** Injects the dispatcher of this process, for a health check: `@InjectDispatcher() private readonly d?: DispatcherService`. */
export function InjectDispatcher(name?: string): ReturnType<typeof Inject> {
  return Inject(getDispatcherToken(name))
}
