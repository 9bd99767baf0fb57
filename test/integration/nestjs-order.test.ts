import { Global, Injectable, Module, type OnApplicationBootstrap, type OnModuleDestroy } from '@nestjs/common'
import { describe, expect, it } from 'vitest'
import { defineConfig, jobs } from '../../src/config/index.js'
import { insertJobs } from '../../src/jobs/index.js'
import { OnMessage, WaybillModule } from '../../src/nestjs/index.js'
import { useDatabase } from '../support/database.js'
import { sessionsEnd } from '../support/sessions.js'
import { createApp, startApp } from './nestjs-fixture.js'
import { deferred } from './jobs-fixture.js'

const database = useDatabase()

describe('the order of modules (docs/nestjs.md)', () => {
  it('among global ones, the database before Waybill: it closes after the handlers', async () => {
    const started = deferred()
    const finish = deferred()
    const order: string[] = []
    @Global()
    @Module({})
    class DatabaseModule implements OnModuleDestroy {
      onModuleDestroy(): void {
        order.push('the database closed')
        finish.resolve()
      }
    }
    @Injectable()
    class Mailer {
      @OnMessage('a.b')
      async send(): Promise<void> {
        started.resolve()
        await Promise.race([finish.promise, new Promise((resolve) => setTimeout(resolve, 300))])
        order.push('handled')
      }
    }
    const { url: connectionString } = database()
    const waybill = WaybillModule.forRoot({ connectionString, isGlobal: true, worker: { pollMs: 20 } })
    const app = await startApp({ imports: [DatabaseModule, waybill], providers: [Mailer] })
    await insertJobs(database().pool, [{ name: 'a.b' }])
    await started.promise
    await app.close()
    expect(order).toEqual(['handled', 'the database closed'])
  })

  it('a start that fails elsewhere, and is closed, leaves no dispatcher behind', async () => {
    const config = defineConfig({ destinations: { work: jobs() }, routes: { '**': 'work' } })
    const { url: connectionString } = database()
    const waybill = WaybillModule.forRoot({ connectionString, isGlobal: true, dispatcher: { config } })
    @Module({})
    class Failing implements OnApplicationBootstrap {
      onApplicationBootstrap(): Promise<void> {
        return Promise.reject(new RangeError('no cache'))
      }
    }
    const app = await createApp({ imports: [waybill, Failing] })
    await expect(app.init()).rejects.toThrow('no cache')
    await app.close()
    expect((await database().pool.query('select from waybill.dispatchers')).rowCount).toBe(0)
    await sessionsEnd(database())
  })
})
