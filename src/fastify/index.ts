/** The subpath `waybill/fastify`: publishing from a Fastify application. Only Fastify's types are imported. */
import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import type { DispatcherService } from '../app/index.js'
import { sharedPlugin } from '../core/fastify-plugin.js'
import type { Queue } from '../queue-facade/queue.js'
import { checkOptions, refused } from './check-options.js'
import type { InProcessDispatcher, RegisteredTopics, WaybillFastifyOptions } from './types.js'

export {
  type GivenQueue,
  type InProcessDispatcher,
  type MadeQueue,
  type RegisteredTopics,
  type WaybillFastifyOptions,
  type WaybillTypes,
} from './types.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The queue that `waybillFastify` was given, or made. Its topics are those declared in `WaybillTypes`. */
    waybill: Queue<RegisteredTopics>
    /** The dispatcher of this process, where one was asked for: `healthy`, `lanes()`, `drain()`. */
    waybillDispatcher: DispatcherService | undefined
  }
}

/**
 * Fastify plugin for publishing: `app.waybill` is the queue, in the scope that registers it and in all within. Takes a
 * `queue`, or what `new Queue` takes; what it makes, it closes in `onClose`, after the last request was answered. With
 * `dispatcher` it delivers in this process too: from `onReady` on, logging to `app.log`, until `onClose`. Nothing of the
 * dispatcher is loaded without it.
 *
 * Registering fails with an `InputError`: `WAYBILL_CONFIG_INVALID` for options of the plugin or the configuration that are
 * not valid, and where a queue is registered already; `WAYBILL_PUBLISH_INVALID` for options of the queue. `app.ready()`
 * fails with what `dispatcher.start()` rejects with (`WAYBILL_SCHEMA_MISSING`, an unreachable database).
 */
export const waybillFastify: FastifyPluginAsync<WaybillFastifyOptions> = sharedPlugin('waybill', plugin)

async function plugin(app: FastifyInstance, options: WaybillFastifyOptions): Promise<void> {
  if (app.hasDecorator('waybill')) {
    const message =
      'a queue is registered here already, as app.waybill; register once, outside of the scopes that use it'
    throw refused([{ path: '', message }])
  }
  const { queue, made, dispatcher: wanted } = checkOptions(options)
  const dispatcher = wanted && (await prepareDispatcher(app, wanted))
  app.decorate('waybill', queue)
  app.decorate('waybillDispatcher', dispatcher)
  if (dispatcher) app.addHook('onReady', async () => void (await dispatcher.start()))
  app.addHook('onClose', async () => {
    try {
      await dispatcher?.stop(wanted?.drainMs === undefined ? {} : { drainMs: wanted.drainMs })
    } finally {
      if (made) await queue.close()
    }
  })
}

/** Connects to nothing yet. */
async function prepareDispatcher(
  app: FastifyInstance,
  { config, drainMs: _, ...options }: InProcessDispatcher,
): Promise<DispatcherService> {
  const { createDispatcher } = await import('../app/index.js')
  return createDispatcher(config, { ...options, logger: app.log.child({ service: 'waybill' }) })
}
