import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { createDispatcher, type DispatcherService } from '../../src/app/create-dispatcher.js'
import { DispatchCounters } from '../../src/app/dispatch-counters.js'
import { passOnce, type RunReport, runUntilEmpty } from '../../src/app/run-to-end.js'
import { PendingWatch } from '../../src/outbox/inspect/pending.js'
import { stageDue } from '../../src/outbox/scheduled-store.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'

/** Another stager's transaction, which goes on until it is let go. */
async function stagerAtWork(pool: pg.Pool): Promise<() => Promise<void>> {
  const client = await pool.connect()
  await client.query(`begin; select from waybill.locks where name = 'stage' for update`)
  return async () => {
    await client.query('commit')
    client.release()
  }
}

const later = (pool: pg.Pool, inMs: number): Promise<unknown> =>
  pool.query(`select waybill.publish('order.created', '1', run_at => clock_timestamp() + $1 * interval '1 ms')`, [inMs])

async function dueIn(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ ms: number }>(
    'select extract(epoch from max(run_at) - clock_timestamp())::float8 * 1000 as ms from waybill.scheduled',
  )
  return rows[0]?.ms ?? -1
}

describe('a run that ends by itself', () => {
  async function service(database: TestDatabase): Promise<{ counters: DispatchCounters; service: DispatcherService }> {
    const receiver = await startHttpReceiver({ status: 200 })
    const counters = new DispatchCounters()
    const options = { url: receiver.url, allowNetworks: ['127.0.0.0/8'] }
    const made = createDispatcher(
      {
        database: { url: database.url },
        destinations: { crm: { kind: 'webhook', options } },
        routes: { '**': 'crm' },
        dispatcher: { maintenance: false },
      },
      { logger: silentLogger, hooks: counters.hooks },
    )
    return { counters, service: made }
  }

  it.each([
    ['one pass', passOnce],
    ['until empty', runUntilEmpty],
  ])('delivers what was due when it began, though another is just moving it: %s', async (_name, run) => {
    const database = await createTestDatabase()
    const { pool } = database
    const at = await service(database)
    await at.service.start()
    const finish = await stagerAtWork(pool)
    await later(pool, 30)
    await waitFor(async () => (await dueIn(pool)) < 0)
    let report: RunReport | undefined
    const running = run({ ...at, signal: AbortSignal.timeout(20_000) }).then((ended) => (report = ended))
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(report, 'it ended before it').toBeUndefined()
    await finish()
    expect(await running).toMatchObject({ delivered: 1, ended: true })
    await at.service.stop()
  })

  it('does not wait for what comes due while it looks', async () => {
    const { pool } = await createTestDatabase()
    for (let ms = 0; ms < 3000; ms += 5) await later(pool, 50 + ms)
    const started = performance.now()
    await stageDue(pool, systemClock)
    expect(performance.now() - started).toBeLessThan(1500)
    expect(await dueIn(pool)).toBeGreaterThan(0)
  })
})

describe('drain', () => {
  it('waits for what was due at the call', async () => {
    const { pool } = await createTestDatabase()
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter } } })
    const finish = await stagerAtWork(pool)
    await later(pool, 30)
    await waitFor(async () => (await dueIn(pool)) < 0)
    let drained = false
    const draining = dispatcher.drain(AbortSignal.timeout(20_000)).then(() => (drained = true))
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(drained).toBe(false)
    await finish()
    await draining
    expect(adapter.delivered).toHaveLength(1)
    await dispatcher.stop()
  })
})

describe('a change of shards that ends while it is looked what is pending', () => {
  it('hides nothing that the new lanes have still to deliver', async () => {
    const { pool } = await createTestDatabase()
    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter: new ScriptedAdapter() } } })
    await dispatcher.stop()
    await publish(pool, 'order.created', {})
    // what the last step does, in one transaction, just behind the list of lanes
    const finish = `
      update waybill.lanes set state = 'closed' where state <> 'closed';
      insert into waybill.lanes (destination, shard, shards) values ('crm', 0, 2), ('crm', 1, 2);
      insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, to_snapshot, to_floor, ceiling)
      select l.id, 0, d.from_snapshot, d.from_floor, d.to_snapshot, d.to_floor, d.ceiling
        from waybill.lanes l, (select * from waybill.deltas order by n desc limit 1) d where l.state = 'active';
      insert into waybill.positions (lane_id, n, delta, after, epoch)
      select l.id, 0, 0, d.ceiling, 0 from waybill.lanes l join waybill.deltas d on d.lane_id = l.id where l.state = 'active';
      update waybill.positions p set after = (select d.ceiling from waybill.deltas d where d.lane_id = p.lane_id and d.n = p.delta)
       where p.lane_id in (select id from waybill.lanes where state = 'closed');
      delete from waybill.positions p where p.lane_id in (select id from waybill.lanes where state = 'closed')`
    let done = false
    const watched = new Proxy(pool, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name)
        if (name !== 'query' || done) return typeof value === 'function' ? (value.bind(target) as unknown) : value
        return async (text: string, values: unknown[]) => {
          if (text.startsWith('-- lane_pending') && !done) {
            done = true
            await pool.query(finish)
          }
          return pool.query(text, values)
        }
      },
    })
    const watch = await PendingWatch.start(watched)
    const pending = await watch.lanes()
    const { rows } = await pool.query<{ id: number }>(`select id from waybill.lanes where state = 'active'`)
    expect(done).toBe(true)
    expect(pending.length).toBeGreaterThan(0)
    for (const id of pending) expect(rows.map((row) => row.id)).toContain(id)
  })

  it('needs a deployment to look at all', async () => {
    const { pool } = await createTestDatabase()
    await expect(PendingWatch.start(pool)).rejects.toMatchObject({ code: 'WAYBILL_STALE_INCARNATION' })
  })
})
