import pg from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { inTransaction } from '../../src/db/transaction.js'
import type { Examination } from '../../src/app/doctor/index.js'
import { sequenceCheck } from '../../src/app/doctor/schema.js'
import { Queue } from '../../src/index.js'
import { wakeUp } from '../../src/outbox/dispatcher-store.js'
import { onFileEnd } from '../support/cleanup.js'
import { Cluster, says } from '../support/cluster.js'
import { ScriptedAdapter, publish, startDispatcher } from '../support/dispatching.js'
import { applyMigrations } from '../support/migrations.js'
import { eventually, waitFor } from '../support/wait-for.js'

function openPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 8, connectionTimeoutMillis: 5000 })
  pool.on('error', () => undefined)
  onFileEnd(() => pool.end())
  return pool
}

async function caughtUp(primary: Cluster): Promise<void> {
  const replayed = `select count(*) > 0 and bool_and(replay_lsn >= pg_current_wal_lsn()) as yes from pg_stat_replication`
  await waitFor(() => says(primary.url, replayed), { what: 'the stand-by has replayed all' })
}

interface Tickets {
  readonly asleep: number
  readonly awake: number
}
const tickets = async (pool: pg.Pool): Promise<Tickets> =>
  (
    await pool.query<Tickets>(
      `select pg_sequence_last_value('waybill.asleep')::float8 as asleep, pg_sequence_last_value('waybill.awake')::float8 as awake`,
    )
  ).rows[0] as Tickets
const seqs = async (pool: pg.Pool): Promise<number[]> =>
  (await pool.query<{ seq: number }>('select seq::float8 from waybill.messages order by seq')).rows.map((r) => r.seq)
const mended = async (pool: pg.Pool): Promise<number> =>
  (await pool.query(`select from waybill.audit where action = 'mend_sequence'`)).rowCount ?? 0

/** Whoever publishes in whichever way, and a dispatcher that comes afterwards. */
async function expectToWork(pool: pg.Pool): Promise<void> {
  const queue = new Queue({ pool })
  const ids = await inTransaction(pool, async (tx) => [await queue.publish('in.transaction', {}, { tx })])
  await inTransaction(pool, async (tx) => {
    await tx.query('set transaction isolation level repeatable read')
    ids.push(await queue.publish('at.repeatable-read', {}, { tx }))
  })
  ids.push(await publish(pool, 'by.function', {}))
  const adapter = new ScriptedAdapter()
  const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter } } })
  await waitFor(() => ids.every((id) => adapter.ids().includes(id)), { what: 'the deliveries' })
  await dispatcher.stop()
  expect(adapter.delivered.length).toBe(ids.length)
}

describe('right after waybill migrate', () => {
  it('a stand-by that is promoted before any restartpoint publishes and delivers', async () => {
    const primary = await Cluster.blank({ checkpoint_timeout: '1h' })
    const standby = await primary.standby()
    await applyMigrations(primary.url)
    await openPool(primary.url).query('create unlogged sequence waybill.stray')
    await caughtUp(primary)
    await primary.crash()
    await standby.promote()
    const pool = openPool(standby.url)
    await expectToWork(pool)
    const findings = await sequenceCheck.run({ pool } as Examination)
    expect(findings.map(({ level, what }) => `${level}: ${what}`)).toEqual([
      expect.stringMatching(/^error: waybill\.stray can't be read: bad magic number/),
    ])
  })

  it('a primary that crashes before any checkpoint publishes and delivers', async () => {
    const primary = await Cluster.create({ checkpoint_timeout: '1h' })
    await primary.crash()
    await primary.start()
    await expectToWork(openPool(primary.url))
  })
})

describe('the first who publish on another server', () => {
  it('where a physical copy was fed by logical replication, use no seq again', async () => {
    const primary = await Cluster.create()
    const there = openPool(primary.url)
    for (let i = 0; i < 20; i++) await publish(there, 'before', { i })
    await there.query('create publication moved for table waybill.messages')
    await there.query(`select pg_create_logical_replication_slot('moved', 'pgoutput')`)
    const copy = await primary.standby()
    await caughtUp(primary)
    await copy.promote()
    const here = openPool(copy.url)
    await here.query(
      `create subscription moved connection '${primary.url}' publication moved
         with (copy_data = false, create_slot = false, slot_name = moved)`,
    )
    for (let i = 0; i < 200; i++) await publish(there, 'meanwhile', { i })
    await waitFor(async () => (await seqs(here)).length === 220, { what: 'the rows' })
    const clients = await Promise.all(Array.from({ length: 8 }, () => here.connect()))
    await Promise.all(clients.map((client) => publish(client, 'new', {})))
    for (const client of clients) client.release()
    const used = await seqs(here)
    expect(used.slice(0, 220)).toEqual(await seqs(there))
    expect(new Set(used).size).toBe(228)
    expect(used[220]).toBe(1221)
    expect(await mended(here)).toBe(1)
    await here.query('alter subscription moved disable')
    await here.query('alter subscription moved set (slot_name = none)')
    await here.query('drop subscription moved')
  })

  const draw = async (pool: pg.Pool, times: number): Promise<string> =>
    (
      await pool.query<{ last: string }>(
        `select max(nextval('waybill.asleep'))::text as last from generate_series(1, ${times})`,
      )
    ).rows[0]?.last ?? ''

  async function listen(url: string): Promise<{ heard: string[]; hear: () => Promise<unknown> }> {
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => undefined)
    onTestFinished(() => client.end())
    const heard: string[] = []
    client.on('notification', ({ payload }) => heard.push(payload ?? ''))
    await client.connect()
    await client.query('listen waybill_wake')
    return { heard, hear: () => client.query('select') }
  }

  it('after a promotion: wake who sleeps there, though answers come to tickets that only the old server had drawn', async () => {
    const primary = await Cluster.create()
    const there = openPool(primary.url)
    const standby = await primary.standby()
    await caughtUp(primary)
    await standby.stop()
    const stale = await draw(there, 100)
    await primary.crash()
    await standby.start()
    await standby.promote()
    const pool = openPool(standby.url)
    expect((await tickets(pool)).asleep).toBeLessThan(Number(stale))
    const { heard } = await listen(standby.url)
    await publish(pool, 'first', {})
    const ticket = await draw(pool, 100)
    await wakeUp(pool, stale)
    await publish(pool, 'second', {})
    await eventually(() => expect(heard.at(-1)).toBe(ticket))
  })

  it('after a restart: notify those alone who sleep', async () => {
    const server = await Cluster.create()
    const before = openPool(server.url)
    await wakeUp(before, await draw(before, 5))
    await server.stop()
    await server.start()
    const pool = openPool(server.url)
    const { heard, hear } = await listen(server.url)
    await publish(pool, 'awake', {})
    const { asleep, awake } = await tickets(pool)
    expect(asleep).toBe(awake)
    await hear()
    expect(heard).toEqual([])
    await draw(pool, 1)
    await publish(pool, 'asleep', {})
    await eventually(() => expect(heard).toEqual([String(asleep + 1)]))
  })
})
