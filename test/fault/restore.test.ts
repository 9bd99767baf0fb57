import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { Cluster } from '../support/cluster.js'
import { ScriptedAdapter, publish, startDispatcher } from '../support/dispatching.js'
import { startSwitchProxy } from '../support/switch-proxy.js'
import { waitFor } from '../support/wait-for.js'

const pools: pg.Pool[] = []
const running: Dispatcher[] = []
afterEach(async () => {
  await Promise.all(running.splice(0).map((d) => d.stop({ drainMs: 1000 })))
  await Promise.all(pools.splice(0).map((p) => p.end()))
})

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: 5000 })
  pool.on('error', () => undefined)
  pools.push(pool)
  return pool
}

async function start(pool: pg.Pool, adapter: ScriptedAdapter, listenUrl?: string): Promise<Dispatcher> {
  const dispatcher = await startDispatcher({
    pool,
    destinations: { crm: { adapter, settings: { window: 20 } } },
    pageSize: 10,
    ...(listenUrl !== undefined && { listenUrl }),
  })
  running.push(dispatcher)
  return dispatcher
}

const stop = async (dispatcher: Dispatcher): Promise<void> => {
  running.splice(running.indexOf(dispatcher), 1)
  await dispatcher.stop()
}

const burnXids = (pool: pg.Pool, n: number): Promise<unknown> =>
  pool.query(`do $$ begin for i in 1..${n} loop perform pg_current_xact_id(); commit; end loop; end $$`)

const currentXid = async (pool: pg.Pool): Promise<number> =>
  Number((await pool.query<{ x: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as x')).rows[0]?.x)

const idsInLog = async (pool: pg.Pool): Promise<string[]> =>
  (await pool.query<{ id: string }>('select id from waybill.messages order by seq')).rows.map((r) => r.id)

interface Old {
  readonly cluster: Cluster
  readonly pool: pg.Pool
  readonly delivered: string[]
}

/**
 * A server whose lane stands in the middle of a delta, with a transaction that ran in both of its ticks and committed
 * only after the dispatcher had ended, and messages that nobody has read yet.
 */
async function oldServer(): Promise<Old> {
  const cluster = await Cluster.create()
  const pool = openPool(cluster.url)
  await burnXids(pool, 5000)
  const straggler = await pool.connect()
  await straggler.query('begin')
  await publish(straggler, 'straggler', { n: 1 }, { key: 'slow' })
  const adapter = new ScriptedAdapter()
  const dispatcher = await start(pool, adapter)
  for (let i = 0; i < 30; i++) await publish(pool, 'read', { i }, { key: `k${i % 3}` })
  await waitFor(() => adapter.delivered.length >= 30)
  // a delta of many pages, left in the middle
  const batch = await pool.connect()
  await batch.query('begin')
  for (let i = 0; i < 100; i++) await publish(batch, 'batch', { i }, { key: `k${i % 3}` })
  adapter.answer = () =>
    adapter.delivered.length < 65
      ? { kind: 'delivered' }
      : { kind: 'pause', failure: { code: 'HTTP_503', message: 'down' } }
  await batch.query('commit')
  batch.release()
  await waitFor(() => adapter.delivered.length >= 65)
  await stop(dispatcher)
  const { rows } = await pool.query<{ partly: boolean; ran: boolean }>(
    `select p.after < d.ceiling as partly, cardinality(d.running) > 0 as ran from waybill.positions p
       join waybill.deltas d on d.lane_id = p.lane_id and d.n = p.delta order by p.n desc limit 1`,
  )
  expect(rows[0], 'the lane stands in the middle of a delta, with a straggler').toEqual({ partly: true, ran: true })
  // as if the batch had been committed while its tick was taken, between the look at the log and the snapshot
  await pool.query(`update waybill.deltas d set to_floor = least(d.to_floor, 31)`)
  await publish(straggler, 'straggler', { n: 2 }, { key: 'slow' })
  await straggler.query('commit')
  straggler.release()
  for (let i = 0; i < 10; i++) await publish(pool, 'unread', { i }, { key: `k${i % 3}` })
  return { cluster, pool, delivered: adapter.ids() }
}

function expectOrder(
  log: readonly string[],
  keys: ReadonlyMap<string, string | null>,
  received: readonly string[],
): void {
  const firsts = [...new Set(received)]
  for (const key of new Set(keys.values()))
    expect(
      firsts.filter((id) => keys.get(id) === key),
      `first deliveries of ${key}`,
    ).toEqual(log.filter((id) => keys.get(id) === key))
}

/**
 * With sequences that stand where they began. `seenHere`: but those of who sleeps, and publishers have looked since this
 * server started, as where two servers were switched over to and fro.
 */
async function restoredWithoutSequences(seenHere: boolean): Promise<{ old: Old; pool: pg.Pool }> {
  const old = await oldServer()
  const cluster = await Cluster.blank()
  const pool = openPool(cluster.url)
  await old.cluster.restoreInto(cluster)
  const publishers = ['asleep', 'awake', 'server_start']
  for (const sequence of ['message_seq', 'lanes_id_seq', 'audit_id_seq', ...(seenHere ? [] : publishers)])
    await pool.query(`alter sequence waybill.${sequence} restart`)
  if (seenHere)
    await pool.query(
      `select setval('waybill.server_start', (date_part('epoch', pg_postmaster_start_time()) * 1e6)::bigint)`,
    )
  return { old, pool }
}

const keysInLog = async (pool: pg.Pool): Promise<Map<string, string | null>> =>
  new Map(
    (await pool.query<{ id: string; key: string | null }>('select id, key from waybill.messages')).rows.map((r) => [
      r.id,
      r.key,
    ]),
  )

const duplicates = (ids: readonly string[]): string[] => ids.filter((id, index) => ids.indexOf(id) !== index)

describe('a logical dump is restored into another server', () => {
  it.each(['with lower transaction ids', 'with transaction ids far ahead'])(
    '%s: nothing is lost, nothing comes twice, and it stays so',
    async (which) => {
      const old = await oldServer()
      const cluster = await Cluster.blank()
      const pool = openPool(cluster.url)
      if (which.includes('ahead')) await burnXids(pool, 60_000)
      await old.cluster.restoreInto(cluster)
      const [oldXid, newXid] = [await currentXid(old.pool), await currentXid(pool)]
      expect(newXid > oldXid, `${oldXid} there, ${newXid} here`).toBe(which.includes('ahead'))
      // publishers do not wait for a dispatcher; one transaction is open while lanes are rebased
      for (let i = 0; i < 20; i++) await publish(pool, 'fresh', { i }, { key: `k${i % 3}` })
      const open = await pool.connect()
      await open.query('begin')
      await publish(open, 'open', {}, { key: 'open' })
      const adapter = new ScriptedAdapter()
      let dispatcher = await start(pool, adapter)
      const after: string[] = []
      for (let i = 0; i < 20; i++) after.push(await publish(pool, 'after', { i }, { key: `k${i % 3}` }))
      // lanes are past the tick of the rebase: what was open then comes as a straggler, and once
      await waitFor(() => after.every((id) => adapter.ids().includes(id)))
      await open.query('commit')
      open.release()
      const all = async (): Promise<boolean> => {
        const received = new Set([...old.delivered, ...adapter.ids()])
        return (await idsInLog(pool)).every((id) => received.has(id))
      }
      await waitFor(all, { what: 'everything delivered' })
      const received = (): string[] => [...old.delivered, ...adapter.ids()]
      expect(duplicates(received()), 'delivered twice').toEqual([])
      expectOrder(await idsInLog(pool), await keysInLog(pool), received())
      const { rows } = await pool.query(`select from waybill.audit where action = 'rebase'`)
      expect(rows.length).toBe(1)

      // from then on it is a server like any other: started again, nothing is read again
      await stop(dispatcher)
      for (let i = 0; i < 10; i++) await publish(pool, 'later', { i }, { key: `k${i % 3}` })
      const newcomer = new ScriptedAdapter()
      dispatcher = await startDispatcher({
        pool,
        destinations: { crm: { adapter }, late: { adapter: newcomer } },
      })
      running.push(dispatcher)
      await waitFor(all)
      const log = await idsInLog(pool)
      await waitFor(() => log.every((id) => newcomer.ids().includes(id)), {
        what: 'a destination from the earliest on gets all of the log',
      })
      expect(duplicates(received()), 'delivered twice').toEqual([])
      expect((await pool.query(`select from waybill.audit where action in ('rebase', 'reread')`)).rowCount).toBe(1)
    },
    180_000,
  )

  it('under a dispatcher that is switched to it, with ticks and leases of the old server: it starts from what is stored', async () => {
    const source = await Cluster.create()
    const target = await Cluster.blank()
    const proxy = await startSwitchProxy(source.port)
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`
    const pool = openPool(url)
    const adapter = new ScriptedAdapter()
    await start(pool, adapter, url)
    for (let i = 0; i < 40; i++) await publish(pool, 'before', { i }, { key: `k${i % 3}` })
    await waitFor(() => adapter.delivered.length >= 40)
    const nonces = async (p: pg.Pool, table: string): Promise<unknown[]> =>
      (await p.query<{ nonce: string }>(`select nonce from waybill.${table}`)).rows.map((r) => r.nonce)
    await source.restoreInto(target)
    const there = openPool(source.url)
    const here = openPool(target.url)
    expect(await nonces(here, 'incarnations'), 'dumped with the rest').toEqual(await nonces(there, 'incarnation'))
    expect(await nonces(here, 'incarnation'), 'and does not count').toEqual([])
    // what the old server still delivers after the dump is not known to the new one
    const real: string[] = []
    for (let i = 0; i < 60; i++) real.push(await publish(here, 'here', { i }, { key: `k${i % 3}` }))
    proxy.switchTo(target.port)
    await waitFor(() => real.every((id) => adapter.ids().includes(id)))
    expectOrder(await idsInLog(here), await keysInLog(here), adapter.ids())
    expect((await here.query(`select from waybill.audit where action = 'rebase'`)).rowCount).toBe(1)
  }, 180_000)

  it('whose sequences did not come along, and many publish at once: none uses a seq again, and nothing is read again', async () => {
    const { old, pool } = await restoredWithoutSequences(false)
    const log = await idsInLog(pool)
    const last = log.length
    const clients = await Promise.all(Array.from({ length: 6 }, () => pool.connect()))
    const open = clients.map(async (client, i) => {
      await client.query('begin')
      const id = await publish(client, 'first', { i }, { key: `first-${i}` })
      const listed = await client.query<{ ids: string[] }>(
        `select waybill.publish_many('{first}', '{1}', array[$1::text], null, null, null, null, null, null, null) as ids`,
        [`first-${i}`],
      )
      return [id, ...(listed.rows[0]?.ids ?? [])]
    })
    // nobody waits for the transaction of whoever put the sequence right
    const ids = (await Promise.all(open)).flat()
    for (const client of clients) {
      await client.query('commit')
      client.release()
    }
    for (let i = 0; i < 60; i++) ids.push(await publish(pool, 'early', { i }, { key: `k${i % 3}` }))
    const { rows } = await pool.query<{ lowest: string; mended: string }>(
      `select (select min(m.seq)::text from waybill.messages m where m.id = any($1::uuid[])) as lowest,
              (select count(*)::text from waybill.audit a where a.action = 'mend_sequence') as mended`,
      [ids],
    )
    expect(Number(rows[0]?.lowest)).toBeGreaterThan(last)
    expect(rows[0]?.mended).toBe('1')
    const adapter = new ScriptedAdapter()
    await start(pool, adapter)
    const received = (): string[] => [...old.delivered, ...adapter.ids()]
    const all = await idsInLog(pool)
    expect(all).toEqual([...log, ...all.filter((id) => ids.includes(id))])
    await waitFor(() => all.every((id) => received().includes(id)), { what: 'all of the log' })
    expect(duplicates(received())).toEqual([])
    expectOrder(all, await keysInLog(pool), received())
  }, 180_000)

  it('whose message_seq alone did not come along, and somebody published: lanes read all of the log again, and nothing is lost', async () => {
    const { pool } = await restoredWithoutSequences(true)
    const hidden: string[] = []
    for (let i = 0; i < 200; i++) hidden.push(await publish(pool, 'hidden', { i }, { key: `h${i % 3}` }))
    const adapter = new ScriptedAdapter()
    await start(pool, adapter)
    const real: string[] = []
    for (let i = 0; i < 20; i++) real.push(await publish(pool, 'after', { i }, { key: `k${i % 3}` }))
    const log = await idsInLog(pool)
    expect(log.length).toBe(142 + 220)
    await waitFor(() => log.every((id) => adapter.ids().includes(id)), { what: 'all of the log' })
    const { rows } = await pool.query<{ target: { lanes: number[]; fromStart: number[] } }>(
      `select target from waybill.audit where action = 'rebase'`,
    )
    expect(rows[0]?.target.fromStart).toEqual(rows[0]?.target.lanes)
  }, 180_000)

  it('whose message_seq alone did not come along: what was published meanwhile comes after what the old server left, key by key', async () => {
    const { old, pool } = await restoredWithoutSequences(true)
    const log = await idsInLog(pool)
    // fewer than the old server had seqs: all of these were used there
    for (let i = 0; i < 60; i++) log.push(await publish(pool, 'hidden', { i }, { key: `k${i % 3}` }))
    const adapter = new ScriptedAdapter()
    await start(pool, adapter)
    for (let i = 0; i < 20; i++) log.push(await publish(pool, 'after', { i }, { key: `k${i % 3}` }))
    const received = (): string[] => [...old.delivered, ...adapter.ids()]
    await waitFor(() => log.every((id) => received().includes(id)), { what: 'all of the log' })
    expectOrder(log, await keysInLog(pool), received())
  }, 180_000)

  it('whose sequences did not come along, before anybody publishes: they are set right, and nothing is read again', async () => {
    const { old, pool } = await restoredWithoutSequences(false)
    const adapter = new ScriptedAdapter()
    await start(pool, adapter)
    for (let i = 0; i < 20; i++) await publish(pool, 'after', { i }, { key: `k${i % 3}` })
    const log = await idsInLog(pool)
    const received = (): string[] => [...old.delivered, ...adapter.ids()]
    await waitFor(() => log.every((id) => received().includes(id)), { what: 'all of the log' })
    expect(duplicates(received())).toEqual([])
  }, 180_000)
})

it('pg_upgrade and VACUUM FULL keep transaction ids: nothing is rebased, nothing comes twice', async () => {
  const old = await oldServer()
  await old.pool.query('vacuum full waybill.cluster')
  await old.pool.query('vacuum (freeze) waybill.cluster')
  const identifier = async (p: pg.Pool): Promise<unknown> =>
    (await p.query('select system_identifier from pg_control_system()')).rows[0]
  const before = await identifier(old.pool)
  await old.pool.end()
  pools.splice(pools.indexOf(old.pool), 1)
  const cluster = await old.cluster.upgraded()
  const pool = openPool(cluster.url)
  expect(await identifier(pool)).not.toEqual(before)
  const adapter = new ScriptedAdapter()
  await start(pool, adapter)
  for (let i = 0; i < 20; i++) await publish(pool, 'after', { i }, { key: `k${i % 3}` })
  const log = await idsInLog(pool)
  const received = (): string[] => [...old.delivered, ...adapter.ids()]
  await waitFor(() => log.every((id) => received().includes(id)), { what: 'all of the log' })
  expect(duplicates(received())).toEqual([])
  expect((await pool.query(`select from waybill.audit where action = 'rebase'`)).rowCount).toBe(0)
}, 180_000)
