import { Injectable } from '@nestjs/common'
import { expectTypeOf } from 'expect-type'
import pg from 'pg'
import { describe, it } from 'vitest'
import { z } from 'zod'
import { defineConfig } from '../../src/config/index.js'
import { defineTopics, type Queue } from '../../src/index.js'
import type { Job, JobContext } from '../../src/jobs/index.js'
import { InjectQueue, OnMessage, WaybillModule } from '../../src/nestjs/index.js'

const topics = defineTopics({ 'order.created': z.object({ id: z.string() }) })

describe('the module', () => {
  it('takes the options of Queue, a dispatcher and a worker', () => {
    const pool = new pg.Pool()
    WaybillModule.forRoot({ topics, pool, isGlobal: true, name: 'billing' })
    WaybillModule.forRoot({ connectionString: 'x', dispatcher: { config: defineConfig({}) }, worker: { leaseMs: 1 } })
    WaybillModule.forRootAsync({
      isGlobal: true,
      inject: ['x'],
      useFactory: async (pool: pg.Pool) => ({ topics, pool }),
    })
    // @ts-expect-error no such option
    WaybillModule.forRoot({ topic: topics })
    // @ts-expect-error a queue has a concurrency
    WaybillModule.forRoot({ worker: { queues: { mail: 5 } } })
    // @ts-expect-error a number is not a pool
    WaybillModule.forRootAsync({ useFactory: () => ({ pool: 7 }) })
  })
})

describe('an injected queue', () => {
  it('has the topics of its type', () => {
    @Injectable()
    class Orders {
      constructor(@InjectQueue() readonly queue: Queue<typeof topics>) {}
      place(tx: pg.Client) {
        // @ts-expect-error no such topic
        void this.queue.publish('order.paid', { id: 'o1' }, { tx })
        // @ts-expect-error not its payload
        void this.queue.publish('order.created', { id: 1 }, { tx })
        return this.queue.publish('order.created', { id: 'o1' }, { tx })
      }
    }
    expectTypeOf<ReturnType<Orders['place']>>().toEqualTypeOf<Promise<string>>()
  })
})

describe('@OnMessage', () => {
  it('stands on methods that can perform a job', () => {
    class Handlers {
      @OnMessage('a.b') none(): void {}
      @OnMessage('a.b', { queue: 'mail', concurrency: 2, timeoutMs: 1 }) one(_job: Job): void {}
      @OnMessage('a.*') async two(_job: Job, _context: JobContext): Promise<void> {}
      // @ts-expect-error a job is not a string
      @OnMessage('a.b') wrong(_job: string): void {}
      // @ts-expect-error nothing else is given
      @OnMessage('a.b') more(_job: Job, _context: JobContext, _third: number): void {}
      // @ts-expect-error not a method
      @OnMessage('a.b') property = 1
      // @ts-expect-error no such option
      @OnMessage('a.b', { queues: 'mail' }) typo(): void {}
    }
    expectTypeOf<Handlers['one']>().parameter(0).toEqualTypeOf<Job>()
  })
})
