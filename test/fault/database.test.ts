import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { wakeUp } from '../../src/outbox/dispatcher-store.js'
import { Cluster } from '../support/cluster.js'
import { ScriptedAdapter, publish, startDispatcher } from '../support/dispatching.js'
import { startSwitchProxy } from '../support/switch-proxy.js'
import { waitFor } from '../support/wait-for.js'

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: 5000 })
  pool.on('error', () => undefined)
  return pool
}

const idsInLog = async (pool: pg.Pool): Promise<string[]> =>
  (await pool.query<{ id: string }>('select id from waybill.messages order by seq')).rows.map((r) => r.id)

describe('the database fails', () => {
  it('crashes under publishers that commit asynchronously: nothing that survived is skipped, nothing that did not was sent', async () => {
    const cluster = await Cluster.create({ wal_writer_delay: '10s', bgwriter_delay: '10s' })
    const pool = openPool(cluster.url)
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({
      pool,
      destinations: { crm: { adapter } },
      leaseMs: 1500,
      listenUrl: cluster.url,
    })
    for (let i = 0; i < 20; i++) await publish(pool, 'before', { i }, { key: `k${i % 4}` })
    await waitFor(() => adapter.delivered.length >= 20)
    for (let round = 0; round < 3; round++) {
      const sloppy = openPool(`${cluster.url}?options=-csynchronous_commit%3Doff`)
      for (let i = 0; i < 20; i++) await publish(sloppy, 'sloppy', { i }, { key: `k${i % 4}` })
      await cluster.crash()
      await sloppy.end().catch(() => undefined)
      await cluster.start()
      for (let i = 0; i < 30; i++) await publish(pool, 'after', { i }, { key: `k${i % 4}` })
      const log = await idsInLog(pool)
      await waitFor(() => log.every((id) => adapter.ids().includes(id)))
      expect(
        adapter.ids().filter((id) => !log.includes(id)),
        'sent, but not in the log',
      ).toEqual([])
    }
    await dispatcher.stop()
    await pool.end()
  })

  it('fails over to a stand-by that lagged: transaction ids, seqs and epochs come again, and nothing is skipped', async () => {
    const primary = await Cluster.create()
    const standby = await primary.standby()
    const proxy = await startSwitchProxy(primary.port)
    const url = `postgres://postgres@127.0.0.1:${proxy.port}/postgres`
    const pool = openPool(url)
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({
      pool,
      destinations: { crm: { adapter } },
      leaseMs: 1500,
      listenUrl: url,
    })
    for (let i = 0; i < 20; i++) await publish(pool, 'replicated', { i }, { key: `k${i % 4}` })
    await waitFor(() => adapter.delivered.length >= 20)
    const direct = openPool(primary.url)
    const watch = openPool(standby.url)
    const { rows } = await direct.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn')
    await waitFor(
      async () =>
        (await watch.query<{ ok: boolean }>('select pg_last_wal_replay_lsn() >= $1::pg_lsn as ok', [rows[0]?.lsn]))
          .rows[0]?.ok,
    )
    await watch.end()
    await standby.stop()
    const lost: string[] = []
    for (let i = 0; i < 25; i++) lost.push(await publish(pool, 'lost', { i }, { key: `k${i % 4}` }))
    await waitFor(() => lost.every((id) => adapter.ids().includes(id)))
    await direct.end()
    await primary.crash()
    await standby.start()
    await standby.promote()
    proxy.switchTo(standby.port)
    const fresh = openPool(standby.url)
    const real: string[] = []
    for (let i = 0; i < 60; i++) real.push(await publish(fresh, 'real', { i }, { key: `k${i % 4}` }))
    await waitFor(() => real.every((id) => adapter.ids().includes(id)))
    const order = adapter.ids().filter((id) => real.includes(id))
    expect([...new Set(order)]).toEqual(expect.arrayContaining(real))
    for (let k = 0; k < 4; k++) {
      const ofKey = real.filter((_, i) => i % 4 === k)
      expect(
        [...new Set(order)].filter((id) => ofKey.includes(id)),
        `order of k${k}`,
      ).toEqual(ofKey)
    }
    await dispatcher.stop()
    await fresh.end()
    await pool.end()
  })

  it('crashes: who falls asleep after it is woken, and a ticket of before silences none of them', async () => {
    const cluster = await Cluster.create()
    const pool = openPool(cluster.url)
    const adapter = new ScriptedAdapter()
    // heartbeats are 27 s apart
    const dispatcher = await startDispatcher({
      ...{ pool, destinations: { crm: { adapter } }, leaseMs: 60_000, listenUrl: cluster.url },
    })
    const tickets = async () =>
      (
        await pool.query<{ asleep: number | null; awake: number | null }>(
          `select pg_sequence_last_value('waybill.asleep')::int as asleep, pg_sequence_last_value('waybill.awake')::int as awake`,
        )
      ).rows[0]
    const delivers = async (topic: string): Promise<void> => {
      const id = await publish(pool, topic, {})
      await waitFor(() => adapter.ids().includes(id), { timeoutMs: 15_000, what: topic })
    }
    for (let i = 0; i < 4; i++) {
      await delivers('before')
      await waitFor(() => dispatcher.asleep)
    }
    const before = await tickets()
    expect(before?.asleep).toBeGreaterThan(2)
    await cluster.crash()
    await cluster.start()
    const again = async (): Promise<boolean> => ((await tickets())?.asleep ?? 0) > 32
    await waitFor(() => again().catch(() => false), { timeoutMs: 60_000, what: 'it fell asleep again' })
    await waitFor(() => dispatcher.asleep)
    await wakeUp(pool, String(before?.asleep))
    await delivers('after')
    // whoever publishes first draws a thousand
    await waitFor(async () => ((await tickets())?.awake ?? 0) > 1000, { what: 'its answer' })
    await waitFor(() => dispatcher.asleep)
    await delivers('again')
    await dispatcher.stop()
    await pool.end()
  })

  it('has its sequence set back: it is mended, and what was published meanwhile is delivered', async () => {
    const cluster = await Cluster.create()
    const pool = openPool(cluster.url)
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({
      pool,
      destinations: { crm: { adapter } },
      leaseMs: 1500,
      listenUrl: cluster.url,
    })
    for (let i = 0; i < 100; i++) await publish(pool, 'before', { i })
    await waitFor(() => adapter.delivered.length >= 100)
    await pool.query(`select setval('waybill.message_seq', 10)`)
    const hidden: string[] = []
    for (let i = 0; i < 20; i++) hidden.push(await publish(pool, 'hidden', { i }))
    await waitFor(() => hidden.every((id) => adapter.ids().includes(id)))
    const { rows } = await pool.query<{ last: string }>('select last_value::text as last from waybill.message_seq')
    expect(Number(rows[0]?.last)).toBeGreaterThan(100)
    await dispatcher.stop()
    await pool.end()
  })
})
