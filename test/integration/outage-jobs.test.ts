import { describe, expect, it, vi } from 'vitest'
import { type TestDatabase, createTestDatabase } from '../support/database.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { patienceMs, waitFor } from '../support/wait-for.js'
import { expectAllInOrder, publishSteadily, type Said, said, startService, writtenDown } from './outage-fixture.js'

vi.setConfig({ testTimeout: 90_000 })

/** Messages become jobs, and go to a webhook beside them, while somebody publishes all the time. */
async function working(database: TestDatabase) {
  const bystander = await startHttpReceiver()
  const { service, events, delivered } = await startService(database, {
    destinations: {
      work: { kind: 'jobs', options: { queue: 'orders' } as object },
      bystander: { kind: 'webhook', options: { url: bystander.url, allowNetworks: ['127.0.0.0/8'] } as object },
    },
    routes: { '**': ['work', 'bystander'] },
  })
  const publisher = publishSteadily(database.pool)
  const jobs = async (): Promise<Said[]> => {
    const { rows } = await database.pool.query<{ args: string }>(
      `select args::text from waybill.jobs where queue = 'orders' order by run_at, id`,
    )
    return rows.map(({ args }) => said(args))
  }
  const moreJobs = async (): Promise<void> => {
    const from = delivered.get('work') ?? 0
    await waitFor(() => (delivered.get('work') ?? 0) >= from + 50, { what: '50 more jobs' })
  }
  return {
    jobs,
    moreJobs,
    othersGoOn: () => bystander.waitForCount(bystander.received().length + 50),
    /** Stops publishing; one job for each message, in order, and nothing charged. */
    expectOneJobEach: async () => {
      await publisher.stop()
      await service.drain(AbortSignal.timeout(patienceMs))
      expect(expectAllInOrder(await jobs(), publisher.published)).toBe(0)
      const others = bystander.received().map(({ body }) => said(body))
      expectAllInOrder(others, publisher.published)
      expect(await writtenDown(database.pool)).toEqual({ deliveries: 0, attempts: 0 })
      expect(events).toEqual([])
    },
  }
}

/** Ends every backend of the dispatcher that `where` says; resolves to how many there were. */
async function terminate({ pool }: TestDatabase, where: string): Promise<number> {
  const { rowCount } = await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'waybill dispatcher' and ${where}`,
  )
  return rowCount ?? 0
}

describe.each(['pg18', 'pg15'] as const)(
  'the job queue on %s gets each message once, and others are not held up',
  (server) => {
    it('though its table is away for a while', async () => {
      const database = await createTestDatabase({ server })
      const { jobs, moreJobs, othersGoOn, expectOneJobEach } = await working(database)
      await moreJobs()
      await database.pool.query('alter table waybill.jobs rename to jobs_away')
      await othersGoOn()
      expect(await writtenDown(database.pool)).toEqual({ deliveries: 0, attempts: 0 })
      await database.pool.query('alter table waybill.jobs_away rename to jobs')
      const before = (await jobs()).length
      await moreJobs()
      expect((await jobs()).length).toBeGreaterThan(before)
      await expectOneJobEach()
    })

    it('though its transaction waits for a lock and is ended there, again and again', async () => {
      const database = await createTestDatabase({ server })
      const { moreJobs, othersGoOn, expectOneJobEach } = await working(database)
      await moreJobs()
      const locker = await database.pool.connect()
      try {
        await locker.query('begin; lock table waybill.jobs in exclusive mode')
        for (let round = 0; round < 3; round++) {
          const ended = waitFor(async () => (await terminate(database, `wait_event_type = 'Lock'`)) > 0)
          await Promise.all([ended, othersGoOn()])
        }
        expect(await writtenDown(database.pool)).toEqual({ deliveries: 0, attempts: 0 })
      } finally {
        await locker.query('rollback')
        locker.release()
      }
      await moreJobs()
      await expectOneJobEach()
    })

    it('though its sessions are ended at any moment, in the middle of a commit too', async () => {
      const database = await createTestDatabase({ server })
      const { moreJobs, expectOneJobEach } = await working(database)
      await moreJobs()
      for (let round = 0; round < 10; round++) {
        const ended = async (): Promise<boolean> => (await terminate(database, 'xact_start is not null')) > 0
        await waitFor(ended, { intervalMs: 0 })
        await moreJobs()
      }
      await expectOneJobEach()
    })
  },
)
