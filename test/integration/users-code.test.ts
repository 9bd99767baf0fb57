import { once } from 'node:events'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { createDispatcher, type DispatcherHooks } from '../../src/app/index.js'
import { readConfigFile } from '../../src/config/load.js'
import { messageOf } from '../../src/core/errors.js'
import { guardLogger, type Logger, silentLogger } from '../../src/telemetry/logger.js'
import { Inbox } from '../../src/inbox/index.js'
import { defineTopics, Queue } from '../../src/index.js'
import { createWorker, insertJobs, type JobHandler } from '../../src/jobs/index.js'
import { webhookReceiver } from '../../src/receiver/express.js'
import { createWebhookVerifier } from '../../src/receiver/index.js'
import { deliverNow } from '../../src/testing/index.js'
import { serve } from '../contract/receiver-fixture.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { hostileValues, neverSettles } from '../support/hostile-values.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { countJobs } from './jobs-fixture.js'

const values = Object.entries(hostileValues)
const throwing = (make: () => unknown) => (): never => {
  throw make()
}
const rejecting = (make: () => unknown) => (): Promise<never> =>
  new Promise((_, reject) => {
    // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- that is the matter
    reject(make())
  })

/** What code of the application's may do with each value: each way for each value. */
const ways = values
  .flatMap(([name, make]) => [
    { what: `throws ${name}`, act: throwing(make) },
    { what: `rejects with ${name}`, act: rejecting(make) },
    { what: `returns ${name}`, act: make },
  ])
  // to throw a promise is to leave it alone: nothing can be told of it by who catches it
  .filter(({ what }) => !/^(throws|rejects).* rejected Promise/.test(what))

/** As data in place of an answer: a rejected promise that is handed on as data is the test's own to catch. */
const asData = ways.filter(({ what }) => !what.startsWith('rejects') && !what.includes('rejected Promise'))

/** What ends a process, had it no listener. */
const unhandled: string[] = []
const keep = (error: unknown): void => void unhandled.push(messageOf(error))

describe("an application's code that throws, returns or gives what nobody expects", { timeout: 60_000 }, () => {
  const database = useDatabase()
  beforeAll(() => void process.on('unhandledRejection', keep).on('uncaughtException', keep))
  afterAll(async () => {
    await new Promise((resolve) => setTimeout(resolve, 50))
    process.off('unhandledRejection', keep).off('uncaughtException', keep)
    expect([...new Set(unhandled)]).toEqual([])
  })

  it('in a handler of jobs costs its own job an attempt at most, and each slot is free again', async () => {
    const queue = uniqueName('q')
    const handlers: Record<string, JobHandler> = Object.fromEntries(
      ways
        // it is a handler that has not ended
        .filter(({ what }) => !(what.startsWith('returns') && neverSettles(what.slice(8))))
        .map(({ act }, i) => [`hostile${i}`, act]),
    )
    const worker = createWorker({
      ...{ pool: database().pool, pollMs: 20, backoff: { baseMs: 1, capMs: 1 } },
      queues: { [queue]: { concurrency: 2 } },
      handlers: { ...handlers, sound: () => undefined },
    })
    onTestFinished(() => worker.stop({ drainMs: 0, abortMs: 100 }))
    const jobs = Object.keys(handlers).flatMap((name) => [
      { name, queue, maxAttempts: 2 },
      { name: 'sound', queue, maxAttempts: 1 },
    ])
    await insertJobs(database().pool, jobs)
    await worker.start()
    await waitFor(
      async () => {
        const { completed = 0, discarded = 0, scheduled = 0, ...rest } = await countJobs(database(), queue)
        return Object.keys(rest).length === 0 && completed + discarded + scheduled === jobs.length
      },
      { what: 'every job at its end', timeoutMs: 30_000 },
    )
    const { rows } = await database().pool.query<{ state: string; n: number }>(
      `select state, count(*)::int as n from waybill.jobs where queue = $1 and name = 'sound' group by 1`,
      [queue],
    )
    expect(rows).toEqual([{ state: 'completed', n: jobs.length / 2 }])
  })

  const hookNames: Readonly<Record<keyof DispatcherHooks, true>> = {
    ...{ onDelivered: true, onRetry: true, onDead: true, onPause: true, onResume: true },
    ...{ onLaneAcquired: true, onLaneRestart: true, onLaneLost: true },
  }

  it.each(['hooks', 'logger'] as const)(
    'in %s of a dispatcher and its worker keeps no message from its job',
    async (where) => {
      const { url, pool } = await createTestDatabase()
      const queue = uniqueName('q')
      let calls = 0
      const act = (): unknown => ways[calls++ % ways.length]?.act()
      const hooks = Object.fromEntries(Object.keys(hookNames).map((name) => [name, act])) as DispatcherHooks
      const logger = { debug: act, info: act, warn: act, error: act, child: act } as unknown as Logger
      const given = where === 'hooks' ? { hooks, logger: silentLogger } : { logger }
      const settings = {
        ...{ database: { url }, log: { level: 'silent' as const } },
        destinations: { work: { kind: 'jobs' as const, options: { queue } } },
        routes: { '**': ['work'] },
      }
      const publisher = new Queue({ pool })
      // a lane is acquired, delivers, and is given back, until each of the ways was gone
      while (calls < ways.length) {
        const service = createDispatcher(settings, given)
        await publisher.publish('a.b', { calls }, { tx: null })
        await service.start()
        await service.drain()
        await service.stop()
      }
      const { rows } = await pool.query<{ n: number }>('select count(*)::int as n from waybill.jobs')
      const { rows: published } = await pool.query<{ n: number }>('select count(*)::int as n from waybill.messages')
      expect(rows).toEqual(published)
    },
  )

  it('in a schema, or as a payload, rejects that publish and leaves the transaction open', async () => {
    const client = await database().pool.connect()
    onTestFinished(() => client.release())
    await client.query('begin')
    const standard = (validate: () => unknown): StandardSchemaV1 =>
      ({ '~standard': { version: 1, vendor: 'test', validate } }) as StandardSchemaV1
    const answers: readonly ((act: () => unknown) => () => unknown)[] = [(act) => act, (act) => async () => act()]
    const shapes: readonly ((act: () => unknown) => () => unknown)[] = [
      (act) => () => ({ value: act() }),
      (act) => () => ({ issues: act() }),
      (act) => () => ({ issues: [act()] }),
      (act) => () => ({ issues: [{ message: act(), path: [act()] }] }),
      (act) => () => ({ issues: [{ message: 'no', path: act() }] }),
    ]
    let published = 0
    const tried = [
      ...ways.flatMap((way) => answers.map((shape) => ({ ...way, shape }))),
      ...asData.flatMap((way) => shapes.map((shape) => ({ ...way, shape }))),
    ]
    for (const { what, act, shape } of tried) {
      if (neverSettles(what.replace(/^\w+ /, ''))) continue
      {
        const queue = new Queue({ topics: defineTopics({ t: standard(shape(act)) }) })
        await queue.publish('t', {}, { tx: client }).then(
          () => published++,
          () => undefined,
        )
      }
    }
    const plain = new Queue()
    for (const [name, make] of values) {
      if (name.includes('rejected Promise')) continue
      const text = make() as string
      const calls = [
        () => plain.publish('t', text, { tx: client }),
        () => plain.publish('t', { deep: [text] }, { tx: client }),
        () => plain.publish(text, 1, { tx: client }),
        () => plain.publish('t', 1, { tx: client, key: text, headers: { a: text } }),
        () => plain.publish('t', 1, { tx: client, headers: text as never, id: text, delay: text, to: text as never }),
        () => plain.publishMany(text as never, { tx: client }),
        () => plain.publishMany([text] as never, { tx: client }),
        () => plain.publish('t', 1, text as never),
        () => plain.publish('t', 1, { tx: text as never }),
      ]
      for (const call of calls) {
        await call().then(
          (ids) => (published += Array.isArray(ids) ? ids.length : 1),
          () => undefined,
        )
      }
    }
    const { rows } = await client.query<{ n: number }>('select count(*)::int as n from waybill.messages')
    expect(rows).toEqual([{ n: published }])
    await client.query('rollback')
  })

  it('as a schema that is no Standard Schema is refused in words', async () => {
    const wrong = [undefined, null, 7, 'x', {}, { issues: true }, { issues: {} }]
    for (const result of wrong) {
      for (const validate of [() => result, () => Promise.resolve(result)]) {
        const schema = { '~standard': { version: 1, vendor: 'test', validate } } as unknown as StandardSchemaV1
        const queue = new Queue({ topics: { 'order.created': schema } })
        await expect(queue.publish('order.created', 1, { tx: database().pool as never })).rejects.toThrow()
        await expect(
          new Queue({ pool: database().pool, topics: { 'order.created': schema } }).publish('order.created', 1, {
            tx: null,
          }),
        ).rejects.toThrow(/topics\["order\.created"\]: its validate gave .*; it must give \{ value \}/s)
      }
    }
    const validate = () => ({ issues: [null, { message: 7, path: [null, { key: 'a' }, 3] }] })
    const schema = { '~standard': { version: 1, vendor: 'test', validate } } as unknown as StandardSchemaV1
    const queue = new Queue({ pool: database().pool, topics: { t: schema } })
    await expect(queue.publish('t', 1, { tx: null })).rejects.toMatchObject({
      code: 'WAYBILL_PAYLOAD_INVALID',
      problems: [
        { path: 'payload', message: 'does not fit' },
        { path: 'payload.null.a[3]', message: '7' },
      ],
    })
  })

  it('in onRefused leaves the refusal to the sender, and the process alive', async () => {
    for (const { what, act } of ways) {
      const receive = webhookReceiver({ secrets: 'a secret', onRefused: act })
      // as Express 4, connect and Node's own server call it: what it rejects with is not looked at
      const url = await serve((request, response) => void receive(request, response, () => response.end('next')))
      const { status } = await fetch(url, { method: 'POST', body: '{}' })
      expect([what, status]).toEqual([what, 400])
    }
    for (const { what, act } of asData) {
      const verify = createWebhookVerifier({ secrets: 'a secret', now: act as () => number })
      const headers = { 'webhook-id': 'a', 'webhook-timestamp': '1', 'webhook-signature': 'v1,abc=' }
      let accepted = false
      try {
        verify({ headers, rawBody: '{}' })
        accepted = true
      } catch {
        // refused, or the clock's own error
      }
      expect([what, accepted]).toEqual([what, false])
    }
  })

  it.each([null, {}, NaN, '5 minutes'])('as tolerance %j is refused in words', (tolerance) => {
    expect(() => createWebhookVerifier({ secrets: 'a secret', tolerance: tolerance as string })).toThrow(
      /^tolerance: .* is not a duration/,
    )
  })

  it('in a fake of deliverNow is a failed attempt', async () => {
    const { pool } = await createTestDatabase()
    const queue = new Queue({ pool })
    const failing = ways.filter(({ what }) => !what.startsWith('returns'))
    for (let i = 0; i < failing.length; i++) await queue.publish('t', i, { tx: null })
    const { crm } = await deliverNow({
      ...{ pool, routes: { '**': 'crm' }, maxAttempts: 1 },
      destinations: { crm: ({ payload }) => failing[payload as number]?.act() },
    })
    expect([crm.failed.length, crm.dead.length]).toEqual([failing.length, failing.length])
  })

  it('in the work of an inbox rolls back alone', async () => {
    const { rows } = await database().pool.query<{ there: string | null }>(
      `select to_regclass('waybill.inbox')::text as there`,
    )
    expect(rows[0]).toBeDefined()
    const inbox = new Inbox({ consumer: 'test' })
    const client = await database().pool.connect()
    onTestFinished(() => client.release())
    for (const { what, act } of ways) {
      if (neverSettles(what.replace(/^returns /, ''))) continue
      await client.query('begin')
      await inbox.once(what, { tx: client }, act).catch(() => undefined)
      await client.query('rollback')
    }
    await client.query('begin')
    expect(await inbox.once('sound', { tx: client }, () => 1)).toEqual({ done: true, result: 1 })
    await client.query('rollback')
  })

  it('in OpenTelemetry touches neither a publish nor a job', async () => {
    const apiKey = Symbol.for('opentelemetry.js.api.1')
    const registry = globalThis as { [apiKey]?: unknown }
    onTestFinished(() => void delete registry[apiKey])
    const queue = uniqueName('q')
    let ran = 0
    const worker = createWorker({
      ...{ pool: database().pool, pollMs: 20, queues: { [queue]: {} } },
      handlers: { traced: () => void ran++ },
    })
    onTestFinished(() => worker.stop({ drainMs: 0, abortMs: 100 }))
    await worker.start()
    const publisher = new Queue({ pool: database().pool })
    let jobs = 0
    // its API answers at once: what it does later is not ours to await
    for (const { act } of asData) {
      const span = { spanContext: act, setAttribute: act, setStatus: act, end: act }
      const active = { getValue: () => span, setValue: () => active }
      const context = { active: () => active, with: (_: unknown, work: () => unknown) => work() }
      const apis = [
        { context, trace: { getTracer: () => ({ startSpan: () => span }) } },
        { context, trace: { getTracer: act } },
        { context: { active: throwing(act), with: act }, trace: { getTracer: act } },
        {
          context: { active: () => active, with: throwing(act) },
          trace: { getTracer: () => ({ startSpan: () => span }) },
        },
      ]
      for (const api of apis) {
        registry[apiKey] = api
        await publisher.publish('t', 1, { tx: null })
        await insertJobs(database().pool, [{ name: 'traced', queue, maxAttempts: 1 }])
        jobs++
      }
    }
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === jobs, { what: 'every job done' })
    expect(ran).toBe(jobs)
  })

  it('in a configuration file is an error that names the file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'waybill-config-'))
    const path = join(folder, 'waybill.config.mjs')
    const texts = [
      'Object.create(null)',
      '{ toString() { throw 1 } }',
      'Symbol()',
      'null',
      'Object.assign(new Error(), { message: [1] })',
    ]
    for (const text of texts) {
      await writeFile(path, `throw ${text}`)
      await expect(readConfigFile(path)).rejects.toMatchObject({ code: 'WAYBILL_CONFIG_INVALID', problems: [{ path }] })
    }
  })

  it('in a logger is told once, as a warning', async () => {
    const warned = once(process, 'warning')
    const logger = guardLogger({ warn: throwing(() => new Error('disk full')) } as unknown as Logger)
    logger.warn({}, 'one')
    logger.child({ a: 1 }).warn({}, 'two')
    logger.info({}, 'no such method')
    const [warning] = (await warned) as [Error & { code?: string }]
    expect(warning).toMatchObject({
      code: 'WAYBILL_LOGGER_FAILED',
      message: 'the logger that Waybill was given fails, and its lines are lost: disk full',
    })
  })
})
