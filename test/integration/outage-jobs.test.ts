import { describe, expect, it } from 'vitest'
import { type TestDatabase, createTestDatabase } from '../support/database.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { patienceMs, waitFor } from '../support/wait-for.js'
import { expectAllInOrder, publishSteadily, type Said, said, startService, writtenDown } from './outage-fixture.js'

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
  const lane = async (): Promise<Record<string, unknown>> => {
    const { rows } = await database.pool.query<Record<string, unknown>>(
      `select state, pause_kind, pause_reason from waybill.lane_status where destination = 'work'`,
    )
    return rows[0] ?? {}
  }
  return {
    jobs,
    lane,
    moreJobs,
    othersGoOn: () => bystander.waitForCount(bystander.received().length + 50),
    /** Stops publishing; one job for each message, in order, and nothing charged. */
    expectOneJobEach: async (heard: string[] = []) => {
      await publisher.stop()
      await service.drain(AbortSignal.timeout(patienceMs))
      expect(expectAllInOrder(await jobs(), publisher.published)).toBe(0)
      const others = bystander.received().map(({ body }) => said(body))
      expectAllInOrder(others, publisher.published)
      expect(await writtenDown(database.pool)).toEqual({ deliveries: 0, attempts: 0 })
      expect(events).toEqual(heard)
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
      const { jobs, lane, moreJobs, othersGoOn, expectOneJobEach } = await working(database)
      await moreJobs()
      await database.pool.query('alter table waybill.jobs rename to jobs_away')
      await othersGoOn()
      await waitFor(async () => (await lane()).state === 'paused', { what: 'the pause' })
      expect(await lane()).toEqual({
        ...{ state: 'paused', pause_kind: 'outage' },
        pause_reason: expect.stringMatching(/^JOBS_REFUSED: SQLSTATE 42P01: /) as string,
      })
      expect(await writtenDown(database.pool)).toEqual({ deliveries: 0, attempts: 0 })
      await database.pool.query('alter table waybill.jobs_away rename to jobs')
      const before = (await jobs()).length
      await moreJobs()
      await waitFor(async () => (await lane()).state === 'active', { what: 'the end of the pause' })
      expect((await jobs()).length).toBeGreaterThan(before)
      await expectOneJobEach(['onPause work outage', 'onResume work'])
    })

    it('though it refuses one of them: that one is found, charged and given up, and only its key waits', async () => {
      const database = await createTestDatabase({ server })
      await database.pool.query(
        `create function refuse() returns trigger language plpgsql as
           $$ begin raise exception 'no' using errcode = 'P0001'; end $$;
         create trigger refuse before insert on waybill.jobs for each row
           when (new.args->>'poison' is not null) execute function refuse()`,
      )
      const { moreJobs } = await working(database)
      await moreJobs()
      const { rows } = await database.pool.query<{ id: string }>(
        `select waybill.publish('order.changed', '{"poison": true}'::json, key => 'poison') as id`,
      )
      await database.pool.query(`select waybill.publish('order.changed', '{}'::json, key => 'poison')`)
      const parked = async (): Promise<object[]> =>
        (
          await database.pool.query<object>(
            `select d.message_id as id, state, error_code as code from waybill.deliveries d order by seq`,
          )
        ).rows
      await waitFor(async () => (await parked()).length === 2, { what: 'two parked messages' })
      await moreJobs()
      expect(await parked()).toEqual([
        { id: rows[0]?.id, state: expect.stringMatching(/retrying|dead/) as string, code: 'JOBS_REFUSED' },
        expect.objectContaining({ state: 'held' }),
      ])
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
