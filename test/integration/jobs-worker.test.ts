import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { Cancel, createWorker, Discard, enqueue, insertJobs, Snooze, type Job } from '../../src/jobs/index.js'
import { useDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { countJobs, deferred, jobInState, readJob, startWorker } from './jobs-fixture.js'

describe.each(['pg18', 'pg15'] as const)('a worker on %s', (server) => {
  const database = useDatabase({ server })

  it('performs a job with what was inserted, byte for byte', async () => {
    const queue = uniqueName('q')
    const got = deferred<Job>()
    const argsText = '{ "amount" : 12345678901234567890.10, "n": "\\u0000é" }'
    const messageId = '0193aaaa-0000-7000-8000-000000000001'
    const id = await enqueue(database().pool, {
      name: 'order.created',
      argsText,
      queue,
      key: 'k1',
      headers: { tenant: 'a' },
      messageId,
    })
    await startWorker(database(), queue, { 'order.*': (job) => got.resolve(job) })
    const job = await got.promise
    expect(job).toMatchObject({
      id,
      messageId,
      queue,
      name: 'order.created',
      key: 'k1',
      argsText,
      headers: { tenant: 'a' },
    })
    expect(job).toMatchObject({ attempt: 1, maxAttempts: 20, args: { n: '\0é' } })
    expect(job.createdAt).toBeInstanceOf(Date)
    const row = await jobInState(database(), id, 'completed')
    expect(row).toMatchObject({ attempt: 1, claim: null, worker: null, errors: null })
  })

  it('runs as many at once as the queue allows, and no more', async () => {
    const queue = uniqueName('q')
    await insertJobs(
      database().pool,
      Array.from({ length: 60 }, () => ({ name: 'work', queue })),
    )
    let running = 0
    let most = 0
    await startWorker(
      database(),
      queue,
      {
        work: async () => {
          most = Math.max(most, ++running)
          await new Promise((resolve) => setTimeout(resolve, 5))
          running -= 1
        },
      },
      { concurrency: 7 },
    )
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === 60)
    expect(most).toBe(7)
  })

  it('runs lower priorities first, and scheduled jobs when they are due', async () => {
    const queue = uniqueName('q')
    const order: unknown[] = []
    await insertJobs(database().pool, [
      { name: 'work', queue, priority: 3, args: 3 },
      { name: 'work', queue, priority: 1, args: 1 },
      { name: 'work', queue, priority: 0, args: 0 },
      { name: 'work', queue, priority: 0, args: 'second' },
    ])
    await startWorker(database(), queue, { work: ({ args }) => void order.push(args) }, { concurrency: 1 })
    await waitFor(() => order.length === 4)
    expect(order).toEqual([0, 'second', 1, 3])
    const { rows } = await database().pool.query<{ due: Date }>(`select clock_timestamp() + interval '400 ms' as due`)
    const due = rows[0]?.due as Date
    await enqueue(database().pool, { name: 'work', queue, args: 'later', runAt: due })
    await waitFor(() => order.length === 5)
    expect(order[4]).toBe('later')
    expect(Date.now()).toBeGreaterThanOrEqual(due.getTime())
  })

  it('retries with backoff, keeps the last errors, and discards after the last attempt', async () => {
    const queue = uniqueName('q')
    const attempts: number[] = []
    const id = await enqueue(database().pool, { name: 'fails', queue, maxAttempts: 7 })
    await startWorker(database(), queue, {
      fails: ({ attempt }) => {
        attempts.push(attempt)
        throw Object.assign(new Error(`no ${attempt}\0`), { code: 'E_NO' })
      },
    })
    const row = await jobInState(database(), id, 'discarded')
    expect(attempts).toEqual([1, 2, 3, 4, 5, 6, 7])
    expect(row.errors?.map(({ attempt, code, message }) => [attempt, code, message])).toEqual(
      [3, 4, 5, 6, 7].map((attempt) => [attempt, 'E_NO', `no ${attempt}\ufffd`]),
    )
  })

  it('waits before a retry under the ceiling of its backoff', async () => {
    const queue = uniqueName('q')
    const id = await enqueue(database().pool, { name: 'fails', queue })
    const run = (): never => {
      throw new Error('no')
    }
    await startWorker(database(), queue, { fails: { run, backoff: { baseMs: 3_600_000, capMs: 3_600_000 } } })
    const { run_in_ms } = await jobInState(database(), id, 'retryable')
    expect(run_in_ms).toBeLessThanOrEqual(3_600_000)
    expect(run_in_ms).toBeGreaterThan(-1_000)
  })

  it('lets a handler cancel, discard and snooze, by throwing or by returning', async () => {
    const queue = uniqueName('q')
    const ids = await insertJobs(
      database().pool,
      ['cancel', 'discard', 'snooze', 'cancelled'].map((name) => ({ name, queue })),
    )
    await startWorker(database(), queue, {
      cancel: () => {
        throw new Cancel('not wanted')
      },
      cancelled: () => new Cancel('not wanted either'),
      discard: () => new Discard('of no use'),
      snooze: () => {
        throw new Snooze(3_600_000)
      },
    })
    const [cancel = '', discard = '', snooze = '', cancelled = ''] = ids
    expect((await jobInState(database(), cancel, 'cancelled')).errors?.[0]).toMatchObject({
      code: 'CANCEL',
      message: 'not wanted',
    })
    expect((await jobInState(database(), cancelled, 'cancelled')).attempt).toBe(1)
    expect((await jobInState(database(), discard, 'discarded')).errors?.[0]).toMatchObject({ code: 'DISCARD' })
    const snoozed = await jobInState(database(), snooze, 'scheduled')
    expect(snoozed).toMatchObject({ attempt: 0, errors: null })
    expect(snoozed.run_in_ms).toBeGreaterThan(3_500_000)
  })

  it('acknowledges a job whatever its handler throws, and goes on', async () => {
    const queue = uniqueName('q')
    const evil = {
      get message(): string {
        throw new Error('no')
      },
    }
    const thrown: readonly unknown[] = [
      Object.assign(new Error(), { message: ['a', 'list'] }),
      Object.assign(new Error('x'), { name: 5 }),
      Object.create(null),
      evil,
      Object.setPrototypeOf(evil, Error.prototype),
      new Proxy({}, { has: () => { throw new Error('no') } }), // prettier-ignore
      `${'x'.repeat(1_999)}🚀 and on`,
      new Error('half \ud83d of a pair, and a \0'),
      Object.assign(new Error('x'), { code: 'half \ud83d\0' }),
      Object.assign(new Snooze(1), { ms: NaN, message: null }),
      Symbol('s'),
      undefined,
      null,
    ]
    const ids = await insertJobs(
      database().pool,
      [...thrown.keys()].map((n) => ({ name: 'odd', args: n, queue, maxAttempts: 1 })),
    )
    await startWorker(database(), queue, {
      odd: ({ args, attempt }) => {
        if (attempt === 1) throw thrown[args as number]
      },
      sound: () => undefined,
    }, { concurrency: 2 }) // prettier-ignore
    const sound = await enqueue(database().pool, { name: 'sound', queue })
    await jobInState(database(), sound, 'completed')
    await waitFor(async () => {
      const counts = await countJobs(database(), queue)
      return (counts['discarded'] ?? 0) >= thrown.length - 1 && counts['executing'] === undefined
    })
    const { errors } = await readJob(database(), ids[0] ?? '')
    expect(errors?.[0]).toMatchObject({ code: 'Error', message: '["a","list"]' })
    const half = await readJob(database(), ids[7] ?? '')
    expect(half.errors?.[0]?.message).toBe('half \ufffd of a pair, and a \ufffd')
  })

  it('aborts a job that runs out of its time, and retries it', async () => {
    const queue = uniqueName('q')
    const reasons: unknown[] = []
    const id = await enqueue(database().pool, { name: 'slow', queue, maxAttempts: 2 })
    await startWorker(database(), queue, {
      slow: {
        timeoutMs: 30,
        run: (_job, { signal }) =>
          new Promise((_, reject) =>
            signal.addEventListener('abort', () => {
              reasons.push(signal.reason)
              reject(new Error('stopped'))
            }),
          ),
      },
    })
    const { errors } = await jobInState(database(), id, 'discarded')
    expect(errors?.map(({ code }) => code)).toEqual(['WAYBILL_JOB_TIMEOUT', 'WAYBILL_JOB_TIMEOUT'])
    expect(reasons).toHaveLength(2)
  })

  it('shares a queue with another worker: every job once', async () => {
    const queue = uniqueName('q')
    await insertJobs(
      database().pool,
      Array.from({ length: 1_000 }, (_, n) => ({ name: 'work', queue, args: n })),
    )
    const seen: unknown[] = []
    const perWorker = [0, 0]
    for (const index of [0, 1]) {
      await startWorker(database(), queue, {
        work: ({ args }) => {
          seen.push(args)
          perWorker[index] = (perWorker[index] ?? 0) + 1
        },
      })
    }
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === 1_000)
    expect(seen).toHaveLength(1_000)
    expect(new Set(seen).size).toBe(1_000)
    expect(Math.min(...perWorker)).toBeGreaterThan(0)
  })

  it('hears of an inserted job when it may listen, without a poll', async () => {
    const queue = uniqueName('q')
    const ran: string[] = []
    let frozen = false
    const frozenSleeps = new Set<number>()
    const clock = {
      ...systemClock,
      // once time stands still no sleep of the worker's ends by itself: what is found then was told
      sleep: async (ms: number, signal?: AbortSignal): Promise<void> => {
        if (frozen) frozenSleeps.add(ms)
        await systemClock.sleep(frozen ? 1_000_000 : ms, signal)
        if (frozen) frozenSleeps.delete(ms)
      },
    }
    await startWorker(
      database(),
      queue,
      { work: ({ id }) => void ran.push(id) },
      { listenUrl: database().url, clock, leaseMs: 3_600_000 },
    )
    const asleep = `select a.last_value > w.last_value as yes from waybill.jobs_asleep a, waybill.jobs_awake w`
    const isAsleep = async (): Promise<boolean> =>
      (await database().pool.query<{ yes: boolean }>(asleep)).rows[0]?.yes === true
    await waitFor(isAsleep, { what: 'a ticket' })
    frozen = true
    await waitFor(() => frozenSleeps.size > 0, { what: 'a sleep without end' })
    await enqueue(database().pool, { name: 'work', queue })
    await waitFor(() => ran.length === 1)
    // stopping waits by the same clock
    frozen = false
  })

  it('drains what runs when it stops, and fetches no more', async () => {
    const queue = uniqueName('q')
    const [first = '', second = ''] = await insertJobs(database().pool, [
      { name: 'slow', queue },
      { name: 'slow', queue },
    ])
    const started = deferred()
    const release = deferred()
    const worker = await startWorker(
      database(),
      queue,
      {
        slow: async () => {
          started.resolve()
          await release.promise
        },
      },
      { concurrency: 1 },
    )
    await started.promise
    const stopped = worker.stop({ drainMs: 10_000 })
    release.resolve()
    await stopped
    expect(await readJob(database(), first)).toMatchObject({ state: 'completed', attempt: 1 })
    expect(await readJob(database(), second)).toMatchObject({ state: 'available', attempt: 0, claim: null })
    const { rowCount } = await database().pool.query('select from waybill.workers where queues = $1', [[queue]])
    expect(rowCount).toBe(0)
  })

  it('aborts what does not end in time: given back uncharged when the handler heeds it, charged when it does not', async () => {
    const queue = uniqueName('q')
    const [heeds = '', ignores = ''] = await insertJobs(database().pool, [
      { name: 'heeds', queue },
      { name: 'ignores', queue },
    ])
    const started = [deferred(), deferred()]
    const worker = await startWorker(database(), queue, {
      heeds: (_job, { signal }) => {
        started[0]?.resolve()
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
      },
      ignores: () => {
        started[1]?.resolve()
        return new Promise(() => undefined)
      },
    })
    await Promise.all(started.map(({ promise }) => promise))
    await worker.stop({ drainMs: 20, abortMs: 300 })
    expect(worker.signal.aborted).toBe(true)
    expect(await readJob(database(), heeds)).toMatchObject({
      state: 'available',
      attempt: 0,
      claim: null,
      errors: null,
    })
    const charged = await readJob(database(), ignores)
    expect(charged).toMatchObject({ state: 'available', attempt: 1, claim: null })
    expect(charged.errors?.[0]).toMatchObject({ code: 'WORKER_STOPPED', attempt: 1 })
  })

  it('bears stop before start, and either of them twice', async () => {
    const options = { pool: database().pool, queues: { q: {} }, handlers: {} }
    const never = createWorker(options)
    await never.stop()
    await never.start()
    const worker = createWorker(options)
    await Promise.all([worker.start(), worker.start()])
    await Promise.all([worker.stop(), worker.stop()])
    const { rowCount } = await database().pool.query(`select from waybill.workers where queues = '{q}'`)
    expect(rowCount).toBe(0)
  })

  it('works through a pooler in transaction mode', async () => {
    const queue = uniqueName('q')
    await insertJobs(
      database().pool,
      Array.from({ length: 20 }, () => ({ name: 'work', queue })),
    )
    const worker = createWorker({
      connectionString: database().pgbouncerUrl,
      queues: { [queue]: {} },
      handlers: { work: () => undefined },
    })
    await worker.start()
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === 20)
    await worker.stop()
  })
})

it('refuses options that can not work, all of them at once', () => {
  expect(() =>
    createWorker({ connectionString: 'postgres://x', queues: { a: { concurrency: 0 } }, handlers: {}, leaseMs: 1 }),
  ).toThrow(/queues\.a\.concurrency(.|\n)*leaseMs/)
  expect(() =>
    createWorker({ connectionString: 'postgres://x', queues: { a: {} }, handlers: { 'a.**.b': () => 1 } }),
  ).toThrow(expect.objectContaining({ code: 'WAYBILL_JOB_INVALID' }))
})
