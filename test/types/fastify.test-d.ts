import { expectTypeOf } from 'expect-type'
import Fastify from 'fastify'
import { describe, it } from 'vitest'
import type { DispatcherService } from '../../src/app/index.js'
import { type RegisteredTopics, waybillFastify } from '../../src/fastify/index.js'
import { defineTopics, Queue } from '../../src/index.js'
import { topics } from '../integration/fastify-fixture.js'

declare module '../../src/fastify/index.js' {
  interface WaybillTypes {
    topics: typeof topics
  }
}

const app = Fastify()

describe('app.waybill', () => {
  it('knows the topics that were declared', () => {
    expectTypeOf<RegisteredTopics>().toEqualTypeOf<typeof topics>()
    expectTypeOf(app.waybill).toEqualTypeOf<Queue<typeof topics>>()
    void app.waybill.publish('order.created', { id: 'o1', cents: 1 }, { tx: null })
    // @ts-expect-error not a topic
    void app.waybill.publish('order.lost', { id: 'o1' }, { tx: null })
    // @ts-expect-error a member is missing
    void app.waybill.publish('order.created', { id: 'o1' }, { tx: null })
    // @ts-expect-error in which transaction?
    void app.waybill.publish('order.created', { id: 'o1', cents: 1 })
  })

  it('has a dispatcher only where one was asked for', () => {
    expectTypeOf(app.waybillDispatcher).toEqualTypeOf<DispatcherService | undefined>()
  })
})

describe('the options of the plugin', () => {
  it('take a queue, or what makes one', () => {
    void app.register(waybillFastify, { queue: new Queue({ topics }) })
    void app.register(waybillFastify, { topics })
    void app.register(waybillFastify, { topics, connectionString: 'postgres://localhost/shop', maxConnections: 2 })
    void app.register(waybillFastify, () => ({ topics }))
    void app.register(waybillFastify, { topics, prefix: '/v1' })
    void app.register(waybillFastify, { topics, dispatcher: { config: {}, drainMs: 1000 } })
    void app.register(waybillFastify, { topics, dispatcher: undefined })
  })

  it('take the topics that were declared, and no others', () => {
    const others = defineTopics(['user.created'])
    // @ts-expect-error of other topics
    void app.register(waybillFastify, { queue: new Queue({ topics: others }) })
    // @ts-expect-error other topics
    void app.register(waybillFastify, { topics: others })
    // @ts-expect-error declared, and not given: nothing would be checked at run time
    void app.register(waybillFastify, {})
  })

  it('are not mixed up', () => {
    // @ts-expect-error the queue has its topics
    void app.register(waybillFastify, { queue: new Queue({ topics }), topics })
    // @ts-expect-error without a configuration
    void app.register(waybillFastify, { topics, dispatcher: {} })
    // @ts-expect-error the configuration itself
    void app.register(waybillFastify, { topics, dispatcher: true })
  })
})
