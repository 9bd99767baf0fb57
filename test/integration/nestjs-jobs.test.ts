import { Injectable } from '@nestjs/common'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { defineConfig, jobs } from '../../src/config/index.js'
import { Queue } from '../../src/index.js'
import { insertJobs, type Job, type JobContext } from '../../src/jobs/index.js'
import { InjectQueue, OnMessage, WaybillModule, type WaybillModuleOptions } from '../../src/nestjs/index.js'
import { useDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { countJobs, jobInState } from './jobs-fixture.js'
import { startApp } from './nestjs-fixture.js'

const database = useDatabase()
beforeEach(() => database().pool.query('delete from waybill.jobs'))

const worker = { pollMs: 20, backoff: { baseMs: 1, capMs: 5 } }
const waybill = (options: Partial<WaybillModuleOptions> = {}) => {
  const { pool } = database()
  return WaybillModule.forRoot({ pool, worker, ...options })
}
const dispatcherTo = (...queues: string[]) => ({
  config: defineConfig({
    database: { url: database().url },
    destinations: Object.fromEntries(queues.map((queue) => [queue, jobs({ queue })])),
    routes: { 'order.**': queues },
  }),
})
const add = async (name: string, queue = 'default'): Promise<string> =>
  (await insertJobs(database().pool, [{ name, queue, args: { name } }]))[0] ?? ''

describe('handlers of messages', () => {
  it('get what was published and committed, in each queue, with what their class injects', async () => {
    const done: unknown[] = []
    @Injectable()
    class Mailer {
      constructor(@InjectQueue() private readonly queue: Queue) {}
      @OnMessage('order.created', { queue: 'mail' })
      async send(job: Job, { signal }: JobContext): Promise<void> {
        done.push(['mail', job.args, signal.aborted])
        await this.queue.publish('order.mailed', job.args as { n: number }, { tx: null })
      }
      @OnMessage('order.mailed', { queue: 'mail' })
      @OnMessage('order.paid', { queue: 'mail' })
      other(job: Job): void {
        done.push([job.name, job.args])
      }
    }
    @Injectable()
    class Search {
      @OnMessage('order.**', { queue: 'search', concurrency: 1 })
      index(job: Job): void {
        done.push(['search', job.name, job.args])
      }
    }
    const { pool } = database()
    const app = await startApp({
      imports: [waybill({ dispatcher: dispatcherTo('mail', 'search') })],
      providers: [Mailer, Search],
    })
    const client = await pool.connect()
    for (const [n, end] of [
      [1, 'rollback'],
      [2, 'commit'],
    ] as const) {
      await client.query('begin')
      await app.get(Queue).publish('order.created', { n }, { tx: client })
      await client.query(end)
    }
    client.release()
    await app.get(Queue).publish('order.paid', { n: 3 }, { tx: null })
    await waitFor(() => done.length >= 6)
    expect(done).toHaveLength(6)
    expect(done).toEqual(
      expect.arrayContaining([
        ['mail', { n: 2 }, false],
        ['order.mailed', { n: 2 }],
        ['search', 'order.created', { n: 2 }],
        ['search', 'order.mailed', { n: 2 }],
        ['order.paid', { n: 3 }],
        ['search', 'order.paid', { n: 3 }],
      ]),
    )
  })

  it('are found once for each instance, by exact name first and then by the most specific pattern', async () => {
    const done: string[] = []
    const handler = (name: string, pattern: string) => {
      @Injectable()
      class Handler {
        @OnMessage(pattern)
        handle(job: Job): void {
          done.push(`${name} ${job.name}`)
        }
      }
      return Handler
    }
    const all = handler('all', '**')
    await startApp({
      imports: [waybill()],
      providers: [
        all,
        { provide: 'alias', useExisting: all },
        { provide: 'same', useFactory: (instance: object) => instance, inject: [all] },
        handler('ends', '*.created'),
        handler('begins', 'order.*'),
        handler('exact', 'order.created'),
      ],
    })
    const names = ['order.created', 'order.paid', 'user.created', 'a.b.c']
    for (const name of names) await jobInState(database(), await add(name), 'completed')
    expect(done).toEqual(['exact order.created', 'begins order.paid', 'ends user.created', 'all a.b.c'])
  })

  it('are retried when they throw, with their own settings, and may be replaced on the instance', async () => {
    @Injectable()
    class Mailer {
      @OnMessage('a.b', { timeoutMs: 1 })
      send(_job: Job, { signal }: JobContext): Promise<void> {
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve()))
      }
    }
    const app = await startApp({ imports: [waybill()], providers: [Mailer] })
    const id = await add('a.b')
    const failed = await waitFor(async () => {
      const { rows } = await database().pool.query<{ errors: { code: string }[] | null }>(
        'select errors from waybill.jobs where id = $1',
        [id],
      )
      return rows[0]?.errors?.[0]
    })
    expect(failed.code).toBe('WAYBILL_JOB_TIMEOUT')
    vi.spyOn(app.get(Mailer), 'send').mockResolvedValue()
    await jobInState(database(), id, 'completed')
  })

  it('run only for the queues that this process is told to work on', async () => {
    const done: string[] = []
    @Injectable()
    class Handlers {
      @OnMessage('a.b', { queue: 'one' }) one(): void {
        done.push('one')
      }
      @OnMessage('a.b', { queue: 'two' }) two(): void {
        done.push('two')
      }
    }
    const app = await startApp({
      imports: [waybill({ worker: { ...worker, queues: { two: {} } } })],
      providers: [Handlers],
    })
    await add('a.b', 'one')
    await jobInState(database(), await add('a.b', 'two'), 'completed')
    await app.close()
    expect(done).toEqual(['two'])
    expect(await countJobs(database(), 'one')).toEqual({ available: 1 })
  })

  it('run at once as often as the decorator says, or the module in its place', async () => {
    const most: Record<string, number> = {}
    const running: Record<string, number> = {}
    const run = async (queue: string): Promise<void> => {
      running[queue] = (running[queue] ?? 0) + 1
      most[queue] = Math.max(most[queue] ?? 0, running[queue])
      // the second of a pair lets the first go on
      if (queue === 'pair') await waitFor(() => most['pair'] === 2)
      else await database().pool.query('select 1')
      running[queue] -= 1
    }
    @Injectable()
    class Handlers {
      @OnMessage('a.b', { queue: 'single', concurrency: 1 }) single(): Promise<void> {
        return run('single')
      }
      @OnMessage('a.b', { queue: 'pair', concurrency: 1 }) pair(): Promise<void> {
        return run('pair')
      }
    }
    const queues = { single: {}, pair: { concurrency: 2 } }
    const names = ['single', 'pair', 'single', 'pair', 'single', 'single']
    const ids = await insertJobs(
      database().pool,
      names.map((queue) => ({ name: 'a.b', queue })),
    )
    await startApp({ imports: [waybill({ worker: { ...worker, queues } })], providers: [Handlers] })
    for (const id of ids) await jobInState(database(), id, 'completed')
    expect(most).toEqual({ single: 1, pair: 2 })
  })
})
