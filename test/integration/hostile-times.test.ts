import { describe, expect, it } from 'vitest'
import { insertJobs } from '../../src/jobs/insert-jobs.js'
import { stageScheduled } from '../../src/outbox/scheduled-store.js'
import { describeOverdue, scheduledOverdue } from '../../src/outbox/inspect/scheduled-overdue.js'
import { showMessage } from '../../src/app/inspect.js'
import { publish, ScriptedAdapter } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { memoryLogger, useDispatching } from './dispatching-fixture.js'
import { startWorker } from './jobs-fixture.js'

const ends = ['infinity', '-infinity', '9999-12-31'] as const

describe.each(['pg18', 'pg15'] as const)('times that are none, on %s', (server) => {
  const { database, pool, start } = useDispatching(server)
  const many = (runAts: string, dedupe = 'null', windows = 'null'): string =>
    `select waybill.publish_many('{a,a}', '{1,2}', null, null, null, ${runAts}, ${dedupe}, ${windows}, null, null)`

  it.each(ends)('run_at %s is refused, and says which field', async (at) => {
    const refusal = { code: '22023', message: expect.stringMatching(/run_at .*is not valid/) as string }
    await expect(pool().query(`select waybill.publish('a', '1', run_at => '${at}')`)).rejects.toMatchObject(refusal)
    await expect(pool().query(many(`array[now(), '${at}']`))).rejects.toMatchObject({ ...refusal, column: '2' })
    await expect(
      pool().query(
        `select waybill.job_insert('{null}', '{q}', '{0}', '{n}', '{null}', '{1}', '{null}', '{1}', array['${at}'::timestamptz])`,
      ),
    ).rejects.toMatchObject({ ...refusal, column: '1' })
    expect((await pool().query('select from waybill.scheduled')).rowCount).toBe(0)
  })

  it('what is written by hand has a time', async () => {
    for (const at of ['infinity', '-infinity']) {
      for (const table of ['scheduled', 'jobs'])
        await expect(
          pool().query(
            table === 'jobs'
              ? `insert into waybill.jobs (id, message_id, queue, name, args, run_at) values (gen_random_uuid(), gen_random_uuid(), 'q', 'n', '1', '${at}')`
              : `insert into waybill.scheduled (id, run_at, topic, payload) values (gen_random_uuid(), '${at}', 'a', '1')`,
          ),
        ).rejects.toMatchObject({ code: '23514' })
    }
  })

  it('a past time is at once, however long ago', async () => {
    await pool().query(`select waybill.publish('a', '1', run_at => '0001-01-01')`)
    expect((await pool().query(`select from waybill.messages`)).rowCount).toBe(1)
  })

  it.each([
    ['-1 second', false],
    ['101 years', false],
    ['178000000 years', false],
    ...(server === 'pg18' ? ([['infinity', false]] as const) : []),
    ['99 years', true],
    ['0', true],
  ] as const)('a dedupe_window of %s is taken: %s', async (window, taken) => {
    const one = (): Promise<unknown> =>
      pool().query(`select waybill.publish('a', '1', dedupe_key => 'k', dedupe_window => '${window}')`)
    const two = (): Promise<unknown> => pool().query(many('null', `'{null,k2}'`, `array[null, interval '${window}']`))
    if (taken) await Promise.all([one(), two()])
    else {
      const message = expect.stringContaining('dedupe_window') as string
      await expect(one()).rejects.toMatchObject({ code: '22023', message })
      await expect(two()).rejects.toMatchObject({ code: '22023', message, column: '2' })
    }
  })

  it('rows that are there already stop nobody', async () => {
    await pool().query(`alter table waybill.scheduled drop constraint scheduled_run_at_check;
      insert into waybill.scheduled (id, run_at, topic, payload)
      select gen_random_uuid(), t, 'a', '1' from unnest('{infinity,-infinity,294276-12-31,4713-01-01 BC}'::timestamptz[]) t`)
    const adapter = new ScriptedAdapter()
    const logger = memoryLogger()
    const dispatcher = await start({ destinations: { crm: { adapter } }, logger })
    const id = (
      await pool().query<{ id: string }>(
        `select waybill.publish('a', '2', run_at => clock_timestamp() + interval '300 ms') as id`,
      )
    ).rows[0]?.id as string
    await waitFor(() => adapter.ids().includes(id))
    expect(adapter.delivered).toHaveLength(3)
    expect(dispatcher.stagingFailures).toBe(0)
    expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([])
    const { nextInMs } = await stageScheduled(pool(), 10, null)
    expect(nextInMs).toBeGreaterThan(80_000_000)
    const { rows } = await pool().query<{ id: string }>(`select id from waybill.scheduled where run_at = 'infinity'`)
    expect(await showMessage(pool(), rows[0]?.id as string, { withPayload: false })).toMatchObject({
      place: 'scheduled',
      runAt: null,
    })
    await pool().query(`truncate waybill.scheduled;
      alter table waybill.scheduled add constraint scheduled_run_at_check check (isfinite(run_at))`)
  })

  it('jobs of all times are there, and the others are performed', async () => {
    await pool().query(`alter table waybill.jobs drop constraint jobs_run_at_check`)
    await pool().query(`insert into waybill.jobs (id, message_id, queue, name, args, run_at)
      select gen_random_uuid(), gen_random_uuid(), 'times', 'n', '"old"', t from unnest('{infinity,-infinity,294276-12-31}'::timestamptz[]) t`)
    const done: unknown[] = []
    await startWorker(database(), 'times', { n: (job) => void done.push(job.args) })
    const client = await pool().connect()
    await insertJobs(client, [{ queue: 'times', name: 'n', args: 'new' }])
    client.release()
    await waitFor(() => done.includes('new') && done.includes('old'))
    expect(done).toHaveLength(2)
    await pool().query(`truncate waybill.jobs; alter table waybill.jobs add check (isfinite(run_at))`)
  })

  it.each([Infinity, NaN, 1e300, -1e300, -5])('so many milliseconds from now are a time: %s', async (ms) => {
    const { rows } = await pool().query<{ finite: boolean; soon: boolean }>(
      `select isfinite(t) as finite, t < now() + interval '101 years' as soon from waybill.time_in($1::float8) t`,
      [String(ms)],
    )
    expect(rows).toEqual([{ finite: true, soon: true }])
  })

  it('jobs that are to run in the year 10000 are refused before they are sent', async () => {
    const client = await pool().connect()
    for (const runAt of [new Date(8.64e15), new Date(-8.64e15), new Date('9999-01-01')])
      await expect(insertJobs(client, [{ name: 'n', runAt }])).rejects.toMatchObject({
        code: 'WAYBILL_JOB_INVALID',
        problems: [{ path: 'jobs[0].runAt' }],
      })
    client.release()
  })

  it('where nothing can be moved, that shows', async () => {
    await pool().query(`select waybill.publish('refused', '1', run_at => clock_timestamp() + interval '1 hour')`)
    await pool().query(`update waybill.scheduled set run_at = run_at - interval '65 minutes'`)
    await pool().query('alter table waybill.messages add constraint refuses check (topic <> $$refused$$)')
    const logger = memoryLogger()
    const dispatcher = await start({ destinations: { crm: { adapter: new ScriptedAdapter() } }, logger })
    await waitFor(() => dispatcher.stagingFailures > 1)
    const overdue = await scheduledOverdue(pool())
    expect(overdue).toMatchObject({ messages: 1 })
    expect(overdue && describeOverdue(overdue)).toMatch(
      /^1 scheduled messages are due and not in the log, the first for 3\d\d s$/,
    )
    // once, not each second
    expect(logger.lines.filter(({ message }) => message.startsWith('scheduled messages stay'))).toHaveLength(1)
    await pool().query('alter table waybill.messages drop constraint refuses')
    await waitFor(async () => (await scheduledOverdue(pool())) === null)
    await publish(pool(), 'a', {})
  })
})
