import pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { PageStream } from '../../src/dispatcher/page-stream.js'
import { StandbyPause } from '../../src/dispatcher/standby-pause.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { everythingAbove, startingAt } from '../../src/outbox/delta.js'
import { beat } from '../../src/outbox/dispatcher-store.js'
import { loadDropped, loadParked, loadPosition } from '../../src/outbox/lane-store.js'
import { PostgresLogReader } from '../../src/outbox/log-reader.js'
import { loadPlan } from '../../src/outbox/position-store.js'
import { glance, takeTick } from '../../src/outbox/tick.js'
import { silentLogger } from '../../src/telemetry/logger.js'
import { Cluster, says } from '../support/cluster.js'
import { makeDispatcher, publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const pools: pg.Pool[] = []
function connect(cluster: Cluster): pg.Pool {
  const pool = new pg.Pool({ connectionString: cluster.url, max: 8 })
  pool.on('error', () => undefined)
  pools.push(pool)
  return pool
}

/** What `pick` says goes to `elsewhere`: as a pooler that parses statements does with those that only read. */
function routed(pool: pg.Pool, elsewhere: () => pg.Pool | undefined): pg.Pool {
  return new Proxy(pool, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name)
      if (name !== 'query') return typeof value === 'function' ? (value.bind(target) as unknown) : value
      return (config: string | { text: string }, ...rest: unknown[]) => {
        const text = (typeof config === 'string' ? config : config.text).replace(/^\s*(--[^\n]*\n\s*)*/, '')
        const reads = /^select\b/.test(text) && !/waybill\.[a-z_]+\(|nextval|setval|pg_notify/.test(text)
        const to = (reads ? elsewhere() : undefined) ?? target
        return (to.query as (...args: unknown[]) => unknown).call(to, config, ...rest)
      }
    },
  })
}

describe('reads that go to another server than commits', () => {
  let primary: Cluster
  let standby: Cluster
  beforeAll(async () => {
    primary = await Cluster.create()
    standby = await primary.standby()
  })

  it('pass over nothing where a router sends them to a stand-by that lags', async () => {
    const [pool, replica] = [connect(primary), connect(standby)]
    let elsewhere: pg.Pool | undefined
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({
      ...{ pool: routed(pool, () => elsewhere), destinations: { d: { adapter } }, leaseMs: 2000 },
    })
    const ids: string[] = []
    const say = async (count: number): Promise<void> => {
      for (let i = 0; i < count; i++) ids.push(await publish(pool, 'a.b', { i }))
    }
    await say(10)
    await waitFor(() => adapter.delivered.length === 10)
    await replica.query('select pg_wal_replay_pause()')
    elsewhere = replica
    await say(50)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const { rows } = await pool.query<{ lag: number }>('select lag_messages::int as lag from waybill.lane_status')
    expect(rows[0]?.lag).toBeGreaterThanOrEqual(ids.length - new Set(adapter.ids()).size)
    await replica.query('select pg_wal_replay_resume()')
    elsewhere = undefined // it is put right
    await say(5)
    await waitFor(() => ids.every((id) => adapter.ids().includes(id)), { what: 'everything' })
    await dispatcher.stop({ drainMs: 500 })
  })

  it('are refused by the one of two primaries that the lane does not commit on', async () => {
    const before = connect(primary)
    await makeDispatcher({ pool: before, destinations: { d: { adapter: new ScriptedAdapter() } } })
    await before.query('checkpoint')
    await waitFor(async () => {
      const { rows } = await before.query<{ at: string }>('select pg_current_wal_lsn()::text as at')
      return says(standby.url, `select pg_last_wal_replay_lsn() >= '${rows[0]?.at}' as yes`)
    })
    await standby.promote() // and the old one is not fenced
    const after = connect(standby)
    const me = { id: '01900000-0000-7000-8000-000000000001', name: 't', host: 'h', pid: 1, version: '0' }
    const { nonce, lanes } = await beat(after, { ...me, generation: 1, leaseMs: 15_000 })
    const lane = lanes[0]?.id as number
    const tick = await takeTick(after, 0)
    expect(tick.nonce).toBe(nonce)
    const delta = everythingAbove(0, { ...tick, ceiling: tick.ceiling + 100 })
    const page = { delta, after: 0, limit: 10, span: 1000, filter: null }
    const reads = (pool: pg.Pool): Promise<unknown>[] => [
      new PostgresLogReader(pool, nonce).page(page),
      new PostgresLogReader(pool, nonce).load([1]),
      loadPosition(pool, lane, nonce),
      loadPlan(pool, lane, 0, nonce),
      loadParked(pool, lane, nonce),
      loadDropped(pool, lane, nonce),
    ]
    await Promise.all(reads(after))
    const refused = (await Promise.allSettled(reads(before))) as PromiseRejectedResult[]
    expect(refused.map(({ reason }) => (reason as { code?: string }).code)).toEqual(
      Array.from(refused, () => 'WAYBILL_STALE_INCARNATION'),
    )
    expect((await glance(before)).nonce).not.toBe(nonce)

    // a tick of the new one is no use to a lane of the old one, nor the other way round
    const stream = new PageStream({
      ...{ reader: new PostgresLogReader(after, nonce), nonce, ticker: new Ticker(before, systemClock) },
      ...{ start: { delta: startingAt(tick), after: tick.ceiling }, matches: () => true, limit: 10 },
      filter: { topicRegex: '.', destination: 'd' },
      pause: new StandbyPause({
        ...{ name: { destination: 'd', shard: 0, laneId: lane }, pool: after, logger: silentLogger, hooks: {} },
        ...{ fence: () => ({ laneId: lane, epoch: '1', holder: me.id }), written: false },
      }),
    })
    await expect(stream.next(AbortSignal.timeout(5000))).rejects.toMatchObject({ code: 'WAYBILL_STALE_INCARNATION' })
    await Promise.all(pools.map((pool) => pool.end()))
  })
})
