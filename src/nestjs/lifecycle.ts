import type { OnApplicationBootstrap, OnApplicationShutdown, OnModuleDestroy } from '@nestjs/common'
import type { DiscoveryService, MetadataScanner } from '@nestjs/core'
import type { DispatcherService } from '../app/create-dispatcher.js'
import { InputError, type Problem } from '../core/errors.js'
import type { Queue } from '../queue-facade/queue.js'
import type { Logger } from '../telemetry/logger.js'
import { findHandlers, type FoundHandler } from './find-handlers.js'
import type { WaybillModuleOptions } from './options.js'
import { planQueues } from './plan-queues.js'
import type { StopWorkers } from './start-workers.js'

export interface LifecycleParts {
  readonly name: string | undefined
  readonly options: WaybillModuleOptions
  readonly queue: Queue
  readonly dispatcher: DispatcherService | undefined
  readonly logger: Logger
  readonly discovery: DiscoveryService
  readonly scanner: MetadataScanner
}

/**
 * Starts and stops what one `WaybillModule` runs. Started when every module has been initialised. The worker stops in
 * `onModuleDestroy`, the dispatcher and the queue when the last request has been answered, so that what it published can
 * leave. No hook of Nest comes before `onModuleDestroy`, whose order is Nest's: what handlers use is still there while they
 * drain if it closes in `onApplicationShutdown`, or in a module that Nest closes after this one. Nor does Nest say when a
 * module that starts after this one fails: until the application is closed, what started here runs on.
 */
export class WaybillLifecycle implements OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown {
  readonly #parts: LifecycleParts
  #stopWorkers: StopWorkers | undefined

  constructor(parts: LifecycleParts) {
    this.#parts = parts
  }

  async onApplicationBootstrap(): Promise<void> {
    const { options, dispatcher, logger } = this.#parts
    const queues = planQueues(this.#handlers(), options.worker)
    try {
      await dispatcher?.start()
      if (options.worker !== undefined) {
        const { startWorkers } = await import('./start-workers.js')
        this.#stopWorkers = await startWorkers(queues, options, options.worker, logger)
      }
    } catch (error) {
      await dispatcher?.stop({ drainMs: 0 })
      throw error
    }
  }

  async onModuleDestroy(): Promise<void> {
    const { drainMs, abortMs } = this.#parts.options.worker ?? {}
    await this.#stopWorkers?.({ ...(drainMs !== undefined && { drainMs }), ...(abortMs !== undefined && { abortMs }) })
  }

  async onApplicationShutdown(): Promise<void> {
    const { options, dispatcher, queue } = this.#parts
    const drainMs = options.dispatcher?.drainMs
    try {
      await dispatcher?.stop(drainMs === undefined ? {} : { drainMs })
    } finally {
      await queue.close()
    }
  }

  #handlers(): FoundHandler[] {
    const { discovery, scanner, name } = this.#parts
    const modules = discovery
      .getProviders()
      .flatMap(({ instance }) => (instance instanceof WaybillLifecycle ? [instance.#parts.name] : []))
    const handlers = findHandlers(discovery, scanner)
    const problems: Problem[] = handlers
      .filter(({ options }) => !modules.includes(options.module))
      .map(({ place, options }) => ({
        path: place,
        message:
          options.module === undefined
            ? `every WaybillModule has a name; say which one: { module: ${JSON.stringify(modules[0])} }`
            : `no WaybillModule has the name ${JSON.stringify(options.module)}`,
      }))
    if (modules.filter((other) => other === name).length > 1)
      problems.push({ path: 'name', message: 'is that of two WaybillModules; give each database a name of its own' })
    if (problems.length > 0)
      throw new InputError('WAYBILL_NESTJS_INVALID', 'the modules of Waybill are not valid:', problems)
    return handlers.filter(({ options }) => options.module === name)
  }
}
