import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it, onTestFinished } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { enqueue, insertJobs, type JobHandler, type Worker } from '../../src/jobs/index.js'
import { JobStore } from '../../src/jobs/job-store.js'
import { runJobMaintenance } from '../../src/jobs/maintenance.js'
import { useDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { cli } from './cli-fixture.js'
import { memoryLogger } from './dispatching-fixture.js'
import { countJobs, jobInState, readJob, startWorker } from './jobs-fixture.js'

const dueAt = (row: object | undefined): unknown => (row as { run_at?: unknown } | undefined)?.run_at

describe.each(['pg18', 'pg15'] as const)('jobs that a worker has no handler for, on %s', (server) => {
  const database = useDatabase({ server })

  it('wait uncharged for a worker that has one, are not fetched again, and do not hold up the others', async () => {
    const queue = uniqueName('q')
    const names = ['new.a', 'new.b\nc', 'new.a', 'odd']
    const ids = await insertJobs(
      database().pool,
      names.map((name) => ({ name, queue, maxAttempts: 1 })),
    )
    const before = await Promise.all(ids.map((id) => readJob(database(), id)))
    const logger = memoryLogger()
    await startWorker(
      database(),
      queue,
      { 'order.**': () => undefined, exact: () => undefined },
      { concurrency: 2, logger },
    )
    const known = await insertJobs(
      database().pool,
      ['order.x', 'exact', 'order.x.\ny'].map((name) => ({ name, queue, maxAttempts: 1 })),
    )
    for (const id of known) await jobInState(database(), id, 'completed')
    const seen = async () =>
      (
        await database().pool.query<{ at: Date | null }>(
          'select claimed_at as at from waybill.jobs where id = any($1) order by id',
          [ids],
        )
      ).rows
    await eventually(async () =>
      expect(await Promise.all(ids.map(async (id) => (await readJob(database(), id)).claim))).toEqual(
        ids.map(() => null),
      ),
    )
    const claimed = await seen()
    await sleep(500)
    expect(await seen()).toEqual(claimed)
    for (const [i, id] of ids.entries()) {
      const after: object = await readJob(database(), id)
      expect(after).toMatchObject({ state: 'available', attempt: 0, claim: null, worker: null, errors: null })
      expect(dueAt(after)).toEqual(dueAt(before[i]))
    }
    const warnings = logger.lines.filter(({ level }) => level === 'warn')
    expect(new Set(warnings.map(({ fields }) => fields['name'])).size).toBe(warnings.length)
    expect(warnings[0]?.message).toMatch(/has no handler/)

    const order: string[] = []
    const handler: JobHandler = ({ id }) => void order.push(id)
    await startWorker(database(), queue, { 'new.**': handler, odd: handler }, { concurrency: 1 })
    await waitFor(() => order.length === 4)
    expect(order).toEqual(ids)
  })

  it('are seen by operators, once no live worker has a handler, and no longer when one has', async () => {
    const queue = uniqueName('q')
    await insertJobs(
      database().pool,
      Array.from({ length: 3 }, (_, n) => ({ name: 'lonely', queue, priority: n })),
    )
    const other = uniqueName('q')
    await enqueue(database().pool, { name: 'lonely', queue: other })
    const unhandled = async () =>
      (
        await database().pool.query<object>(
          'select name, workers::int, jobs::int from waybill.jobs_unhandled where queue = $1',
          [queue],
        )
      ).rows
    expect(await unhandled()).toEqual([{ name: 'lonely', workers: 0, jobs: 3 }])
    await startWorker(database(), queue, { known: () => undefined })
    await waitFor(async () => (await countJobs(database(), queue))['available'] === 3)
    await eventually(async () => expect(await unhandled()).toEqual([{ name: 'lonely', workers: 1, jobs: 3 }]))

    const logger = memoryLogger()
    const ending = new AbortController()
    const clock = { ...systemClock, sleep: () => sleep(20) }
    const store = new JobStore(database().pool, 10_000)
    const maintenance = runJobMaintenance({ store, retentionMs: 1e9, clock, logger, random: () => 0 }, ending.signal)
    onTestFinished(() => ending.abort())
    const told = () =>
      logger.lines
        .filter(({ message, fields }) => message.includes('no live worker') && fields['queue'] === queue)
        .map(({ fields }) => fields)
    await waitFor(() => told().length > 0)
    await sleep(200)
    expect(told()).toEqual([{ queue, name: 'lonely', jobs: 3 }])
    ending.abort()
    await maintenance

    const env = { WAYBILL_DATABASE_URL: database().url, WAYBILL_DIRECT_URL: '' }
    const says = `queue ${queue}: 3 jobs named "lonely" wait, and none of its 1 live workers has a handler for them`
    expect((await cli(['doctor'], { env })).stdout).toContain(`warn  jobs: ${says}`)
    expect((await cli(['status'], { env })).stdout).toContain(says)

    await startWorker(database(), queue, { lonely: () => undefined })
    await waitFor(async () => (await countJobs(database(), queue))['completed'] === 3)
    expect(await unhandled()).toEqual([])
  })

  it('find their worker while old ones are replaced by new ones under load: none is discarded or run by one that does not know it', async () => {
    const queue = uniqueName('q')
    const ranBy = new Map<string, Set<string>>()
    const handle =
      (version: string): JobHandler =>
      async ({ name }) => {
        ranBy.set(name, (ranBy.get(name) ?? new Set()).add(version))
        await sleep(Math.random() * 5)
      }
    const old = { 'order.old': handle('old'), both: handle('old') }
    const next = { 'order.new': handle('new'), 'order.renamed.*': handle('new'), both: handle('new'), 'order.old': handle('new') } // prettier-ignore
    const start = (handlers: Record<string, JobHandler>): Promise<Worker> =>
      startWorker(database(), queue, handlers, { concurrency: 5, logger: memoryLogger() })
    const names = ['order.old', 'order.new', 'both', 'order.renamed.x']
    let inserting = true
    let inserted = 0
    const load = (async () => {
      while (inserting) {
        await insertJobs(
          database().pool,
          Array.from({ length: 8 }, (_, n) => ({ name: names[n % 4] ?? '', queue, maxAttempts: 1, priority: n % 3 })),
        )
        inserted += 8
        await sleep(5)
      }
    })()
    const olds = await Promise.all([old, old, old].map(start))
    for (const worker of olds) {
      await sleep(400)
      await Promise.all([worker.stop(), start(next)])
    }
    await sleep(300)
    inserting = false
    await load
    await waitFor(async () => ((await countJobs(database(), queue))['completed'] ?? 0) === inserted, {
      what: 'all completed',
    })
    expect(await countJobs(database(), queue)).toEqual({ completed: inserted })
    expect(ranBy.get('order.new')).toEqual(new Set(['new']))
    expect(ranBy.get('order.renamed.x')).toEqual(new Set(['new']))
    const { rows } = await database().pool.query('select distinct attempt from waybill.jobs where queue = $1', [queue])
    expect(rows).toEqual([{ attempt: 1 }])
  })
})
