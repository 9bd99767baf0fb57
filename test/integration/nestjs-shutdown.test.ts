import { Injectable, type OnModuleInit } from '@nestjs/common'
import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { defineConfig, jobs } from '../../src/config/index.js'
import { insertJobs, type Job, type JobContext } from '../../src/jobs/index.js'
import {
  type DispatcherService,
  getDispatcherToken,
  InjectDispatcher,
  OnMessage,
  WaybillModule,
  type WaybillModuleOptions,
} from '../../src/nestjs/index.js'
import { useDatabase } from '../support/database.js'
import { sessionsEnd } from '../support/sessions.js'
import { waitFor } from '../support/wait-for.js'
import { deferred, readJob } from './jobs-fixture.js'
import { startApp } from './nestjs-fixture.js'

const database = useDatabase()
beforeEach(() => database().pool.query('delete from waybill.jobs'))
afterEach(() => vi.unstubAllEnvs())

const waybill = (options: Partial<WaybillModuleOptions>) => {
  const { url: connectionString } = database()
  return WaybillModule.forRoot({ connectionString, ...options })
}
const config = () => defineConfig({ destinations: { work: jobs({ shards: 4 }) }, routes: { 'order.*': 'work' } })
const add = async (name: string): Promise<string> => (await insertJobs(database().pool, [{ name }]))[0] ?? ''
const rows = async (table: string) => (await database().pool.query(`select from waybill.${table}`)).rowCount

describe('shutting down', () => {
  it('finishes the job that runs, and leaves neither worker, dispatcher nor session behind', async () => {
    const started = deferred()
    const finish = deferred()
    const order: string[] = []
    @Injectable()
    class Mailer {
      @OnMessage('a.b')
      async send(_job: Job, { signal }: JobContext): Promise<void> {
        started.resolve()
        await finish.promise
        order.push(`handled, aborted: ${signal.aborted}`)
      }
    }
    const app = await startApp({
      imports: [waybill({ worker: { pollMs: 20 }, dispatcher: { config: config() } })],
      providers: [Mailer],
    })
    const id = await add('a.b')
    await started.promise
    const closed = app.close().then(() => order.push('closed'))
    // it fetches no more
    const later = await add('a.b')
    finish.resolve()
    await closed
    expect(order).toEqual(['handled, aborted: false', 'closed'])
    expect(await readJob(database(), id)).toMatchObject({ state: 'completed', attempt: 1 })
    expect(await readJob(database(), later)).toMatchObject({ state: 'available', attempt: 0 })
    expect([await rows('workers'), await rows('dispatchers')]).toEqual([0, 0])
    await sessionsEnd(database())
  })

  it('aborts a job that outlasts the drain time, and gives it back', async () => {
    const started = deferred()
    @Injectable()
    class Mailer {
      @OnMessage('a.b')
      async send(_job: Job, { signal }: JobContext): Promise<void> {
        started.resolve()
        await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      }
    }
    const app = await startApp({ imports: [waybill({ worker: { pollMs: 20, drainMs: 0 } })], providers: [Mailer] })
    const id = await add('a.b')
    await started.promise
    await app.close()
    expect(await readJob(database(), id)).toMatchObject({ state: 'available', attempt: 0 })
  })
})

describe('the dispatcher', () => {
  it('starts when every module has been initialised, and is there to be asked', async () => {
    const order: string[] = []
    @Injectable()
    class Service implements OnModuleInit {
      constructor(@InjectDispatcher() readonly dispatcher: DispatcherService | undefined) {}
      async onModuleInit(): Promise<void> {
        order.push(`init, healthy: ${this.dispatcher?.healthy}, dispatchers: ${await rows('dispatchers')}`)
      }
    }
    const app = await startApp({ imports: [waybill({ dispatcher: { config: config() } })], providers: [Service] })
    expect(order).toEqual(['init, healthy: false, dispatchers: 0'])
    expect(app.get(Service).dispatcher).toMatchObject({ healthy: true })
    expect(await rows('dispatchers')).toBe(1)
  })

  it('is undefined where none is configured', async () => {
    const app = await startApp({ imports: [waybill({})] })
    expect(app.get(getDispatcherToken())).toBeUndefined()
  })

  it('reads the configuration that "waybill dispatch" would, where it is given none', async () => {
    vi.stubEnv('WAYBILL_DATABASE_URL', database().url)
    const app = await startApp({ imports: [WaybillModule.forRoot({ dispatcher: {} })] })
    expect(app.get<DispatcherService>(getDispatcherToken()).healthy).toBe(true)
    expect(await rows('dispatchers')).toBe(1)
  })

  it('shares its lanes with those of other processes', async () => {
    const of = () => startApp({ imports: [waybill({ dispatcher: { config: config() } })] })
    const dispatchers = (await Promise.all([of(), of()])).map((app) => app.get<DispatcherService>(getDispatcherToken()))
    await waitFor(() => dispatchers.every((dispatcher) => dispatcher.lanes().length === 2), { what: 'two lanes each' })
  })

  it('waits no longer than it is told when it stops', async () => {
    const app = await startApp({ imports: [waybill({ dispatcher: { config: config(), drainMs: 1_234 } })] })
    const stop = vi.spyOn(app.get<DispatcherService>(getDispatcherToken()), 'stop')
    await app.close()
    expect(stop.mock.calls).toEqual([[{ drainMs: 1_234 }]])
  })
})

describe('the log', () => {
  it("is Nest's own, as text", async () => {
    const lines: unknown[][] = []
    const logger = {
      log: (...line: unknown[]) => lines.push(line),
      warn: (...line: unknown[]) => lines.push(line),
      error: (...line: unknown[]) => lines.push(line),
    }
    await startApp({ imports: [waybill({ dispatcher: { config: config() } })] }, logger)
    const acquired = /^lane acquired \{.*"destination":"work".*\}$/
    await waitFor(() => lines.some(([text, context]) => acquired.test(String(text)) && context === 'Waybill'))
  })

  it('is that of the application where it gives one', async () => {
    const lines: string[] = []
    const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) })
    @Injectable()
    class Mailer {
      @OnMessage('a.b') send(): void {}
    }
    const config = defineConfig({ destinations: { other: jobs() }, routes: { 'order.*': 'other' } })
    await startApp({
      imports: [waybill({ logger, dispatcher: { config }, worker: { pollMs: 20 } })],
      providers: [Mailer],
    })
    expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual(
      expect.objectContaining({ msg: 'destination added', destination: 'other' }),
    )
  })
})
