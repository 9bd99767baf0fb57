import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { enqueue, insertJobs } from '../../src/jobs/index.js'
import { JobStore, type Acknowledgement } from '../../src/jobs/job-store.js'
import { useDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { waitFor } from '../support/wait-for.js'
import { readJob } from './jobs-fixture.js'

describe.each(['pg18', 'pg15'] as const)('claims on %s', (server) => {
  const database = useDatabase({ server })
  const fromStart = [null, null, null, null]
  const store = (): JobStore => new JobStore(database().pool, 10_000)

  async function registered(leaseMs = 60_000): Promise<string> {
    const id = randomUUID()
    const names = { exact: [], patterns: '.*' }
    await store().register({ id, name: 'w', host: 'h', pid: 1, version: '0', queues: ['q'], leaseMs, names })
    return id
  }

  async function claimed(queue: string, worker: string, limit = 10): Promise<{ claim: string; ids: string[] }> {
    const claim = randomUUID()
    const jobs = await store().fetch(worker, claim, queue, limit, fromStart)
    return { claim, ids: jobs.map(({ id }) => id) }
  }

  const outcomes: readonly Acknowledgement['outcome'][] = [
    'complete',
    'retry',
    'snooze',
    'cancel',
    'discard',
    'release',
  ]

  it.each(outcomes)('a stale claim can not %s a job that another worker holds', async (outcome) => {
    const queue = uniqueName('q')
    const id = await enqueue(database().pool, { name: 'work', queue })
    const [dead, live] = [await registered(), await registered()]
    const old = await claimed(queue, dead)
    await store().start(old.claim, old.ids)
    expect(await store().endWorker(dead, null, 'WORKER_LOST', 'gone')).toBe(1)
    const fresh = await claimed(queue, live)
    await store().start(fresh.claim, fresh.ids)
    const before = await readJob(database(), id)
    expect(await store().acknowledge([{ id, claim: old.claim, outcome, inMs: 0 }])).toEqual(new Map())
    expect(await store().start(old.claim, old.ids)).toEqual(new Map())
    await store().release(old.claim, old.ids)
    expect(await readJob(database(), id)).toEqual({ ...before, run_in_ms: expect.any(Number) as number })
    expect(before).toMatchObject({ state: 'executing', attempt: 2, claim: fresh.claim, worker: live })
  })

  it('charges an attempt at the start, once, and not at the claim', async () => {
    const queue = uniqueName('q')
    const [first = '', second = ''] = await insertJobs(database().pool, [
      { name: 'a', queue },
      { name: 'b', queue },
    ])
    const worker = await registered()
    const { claim, ids } = await claimed(queue, worker)
    expect(ids).toHaveLength(2)
    expect(await readJob(database(), first)).toMatchObject({ state: 'available', attempt: 0, claim, worker })
    expect(await store().start(claim, [first])).toEqual(new Map([[first, 1]]))
    expect(await store().start(claim, [first])).toEqual(new Map([[first, 1]]))
    await store().endWorker(worker, null, 'WORKER_LOST', 'gone')
    expect(await readJob(database(), first)).toMatchObject({ state: 'available', attempt: 1, claim: null })
    expect(await readJob(database(), second)).toMatchObject({
      state: 'available',
      attempt: 0,
      claim: null,
      errors: null,
    })
  })

  it('discards a rescued job that has no attempt left', async () => {
    const queue = uniqueName('q')
    const id = await enqueue(database().pool, { name: 'poison', queue, maxAttempts: 1 })
    const worker = await registered()
    const { claim, ids } = await claimed(queue, worker)
    await store().start(claim, ids)
    await store().endWorker(worker, null, 'WORKER_LOST', 'gone')
    const row = await readJob(database(), id)
    expect(row).toMatchObject({ state: 'discarded', attempt: 1 })
    expect(row.errors?.[0]).toMatchObject({ code: 'WORKER_LOST', attempt: 1 })
  })

  it('leaves a worker alone whose heart beat since it was looked at', async () => {
    const worker = await registered()
    await store().beat(worker)
    expect(await store().endWorker(worker, 0, 'WORKER_LOST', 'gone')).toBeUndefined()
    expect(await store().endWorker(worker, 1, 'WORKER_LOST', 'gone')).toBe(0)
    expect(await store().beat(worker)).toBeUndefined()
  })

  it('gives nothing to a worker that is not registered any more', async () => {
    const worker = await registered()
    await store().endWorker(worker, null, 'WORKER_LOST', 'gone')
    await expect(claimed(uniqueName('q'), worker)).rejects.toMatchObject({ code: 'WB001' })
  })

  it("a worker's end waits for its fetch under way, and takes back what that claimed", async () => {
    const queue = uniqueName('q')
    const id = await enqueue(database().pool, { name: 'work', queue })
    const worker = await registered()
    const client = await database().pool.connect()
    try {
      await client.query('begin')
      await client.query('select from waybill.job_fetch($1, $2, $3, 10, null)', [worker, randomUUID(), queue])
      const ended = store().endWorker(worker, null, 'WORKER_LOST', 'gone')
      const waiting = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
      await waitFor(async () => (await database().pool.query(waiting)).rowCount === 1, { what: 'it to wait' })
      await client.query('commit')
      expect(await ended).toBe(1)
    } finally {
      client.release()
    }
    expect(await readJob(database(), id)).toMatchObject({ state: 'available', claim: null, attempt: 0 })
  })

  it('a worker takes back old claims of its own that it knows nothing of, and only those', async () => {
    const queue = uniqueName('q')
    const worker = await registered(1)
    await insertJobs(
      database().pool,
      Array.from({ length: 3 }, () => ({ name: 'work', queue })),
    )
    const lost = await claimed(queue, worker, 1)
    await store().start(lost.claim, lost.ids)
    const unstarted = await claimed(queue, worker, 1)
    const known = await claimed(queue, worker, 1)
    await database().pool.query('select pg_sleep(0.01)')
    expect(await store().reconcile(worker, [known.claim])).toBe(2)
    expect(await readJob(database(), lost.ids[0] ?? '')).toMatchObject({ state: 'available', attempt: 1, claim: null })
    expect(await readJob(database(), unstarted.ids[0] ?? '')).toMatchObject({
      state: 'available',
      attempt: 0,
      claim: null,
    })
    expect(await readJob(database(), known.ids[0] ?? '')).toMatchObject({ claim: known.claim })
  })

  it('deletes finished jobs past their retention in batches, keeps discarded ones, and rescues from unknown workers', async () => {
    const queue = uniqueName('q')
    const ids = await insertJobs(
      database().pool,
      Array.from({ length: 6 }, () => ({ name: 'work', queue })),
    )
    const worker = await registered()
    const { claim } = await claimed(queue, worker, 5)
    await store().start(claim, ids)
    const acked: Acknowledgement['outcome'][] = ['complete', 'complete', 'cancel', 'discard']
    await store().acknowledge(acked.map((outcome, index) => ({ id: ids[index] ?? '', claim, outcome })))
    await database().pool.query('delete from waybill.workers where id = $1', [worker])
    expect(await store().maintain(3_600_000, 2)).toEqual({ rescued: 1, deleted: 0 })
    expect(await store().maintain(0, 2)).toEqual({ rescued: 0, deleted: 2 })
    expect(await store().maintain(0, 2)).toEqual({ rescued: 0, deleted: 1 })
    const { rows } = await database().pool.query(
      'select state, attempt from waybill.jobs where queue = $1 order by state, attempt desc',
      [queue],
    )
    expect(rows).toEqual([
      { state: 'available', attempt: 1 },
      { state: 'available', attempt: 0 },
      { state: 'discarded', attempt: 1 },
    ])
  })

  it('one worker maintains at a time', async () => {
    const client = await database().pool.connect()
    try {
      await client.query('begin')
      await client.query('select waybill.job_maintain(0, 1)')
      expect(await store().maintain(0, 1)).toBeUndefined()
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  it('operators retry and cancel, and it is written down', async () => {
    const queue = uniqueName('q')
    const [dead = '', waiting = ''] = await insertJobs(database().pool, [
      { name: 'a', queue },
      { name: 'b', queue },
    ])
    const worker = await registered()
    const { claim } = await claimed(queue, worker, 1)
    await store().start(claim, [dead])
    await store().acknowledge([{ id: dead, claim, outcome: 'discard' }])
    const call = async (text: string): Promise<unknown> =>
      (await database().pool.query<{ n: number }>(text, [queue])).rows[0]?.n
    expect(await call(`select waybill.job_retry(p_queue => $1, p_reason => 'mended') as n`)).toBe(1)
    expect(await readJob(database(), dead)).toMatchObject({ state: 'available', attempt: 0 })
    expect(await call(`select waybill.job_cancel(p_queue => $1, p_name => 'b') as n`)).toBe(1)
    expect(await readJob(database(), waiting)).toMatchObject({ state: 'cancelled' })
    expect(
      await call(
        `select count(*)::int as n from waybill.audit where target ->> 'queue' = $1 and action in ('job_retry', 'job_cancel')`,
      ),
    ).toBe(2)
    await expect(database().pool.query('select waybill.job_cancel()')).rejects.toMatchObject({ code: '22023' })
    await expect(database().pool.query('select waybill.job_retry(p_state => null)')).rejects.toMatchObject({
      code: '22023',
    })
  })

  it('inserts with the transaction or not at all, and refuses what is not a job before it writes', async () => {
    const queue = uniqueName('q')
    const client = await database().pool.connect()
    try {
      await client.query('begin')
      await enqueue(client, { name: 'work', queue })
      await client.query('rollback')
    } finally {
      client.release()
    }
    await expect(
      insertJobs(database().pool, [
        { name: 'fine', queue },
        { name: '', queue: 'a\0', priority: 4, maxAttempts: 0, runAt: new Date(Number.NaN), args: () => 1 },
      ]),
    ).rejects.toMatchObject({
      code: 'WAYBILL_JOB_INVALID',
      problems: ['name', 'queue', 'priority', 'maxAttempts', 'runAt', 'args'].map((field) => ({
        path: `jobs[1].${field}`,
      })),
    })
    const { rowCount } = await database().pool.query('select from waybill.jobs where queue = $1', [queue])
    expect(rowCount).toBe(0)
  })
})
