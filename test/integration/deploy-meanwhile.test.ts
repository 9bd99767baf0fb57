import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { inTransaction } from '../../src/db/transaction.js'
import { type DeployedDestination, deploy } from '../../src/outbox/configuration-store.js'
import { advanceReshard, openReshards } from '../../src/outbox/reshard.js'
import { takeTick } from '../../src/outbox/tick.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { delivered, gate, useDispatching } from './dispatching-fixture.js'

const crm: DeployedDestination = {
  name: 'crm',
  kind: 'scripted',
  settings: {},
  shards: 1,
  order: 'key',
  onDead: 'hold',
  from: 'latest',
  patterns: ['a.**'],
}

/** A pool on whose sessions, as `connect` gives them, `before` is awaited before each statement. */
function watched(pool: pg.Pool, before: (text: string) => Promise<void> | undefined): pg.Pool {
  const client = (real: pg.PoolClient): pg.PoolClient =>
    over(real, 'query', async (query: string | { text: string }, ...rest: unknown[]) => {
      await before(typeof query === 'string' ? query : query.text)
      return (real.query as (...all: unknown[]) => Promise<unknown>).call(real, query, ...rest)
    })
  return over(pool, 'connect', async () => client(await pool.connect()))
}

/** `target` with another member. */
function over<T extends object>(target: T, name: string, member: unknown): T {
  return new Proxy(target, {
    get(_, asked) {
      if (asked === name) return member
      const value: unknown = Reflect.get(target, asked)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

describe.each(['pg18', 'pg15'] as const)('a deployment while something else is under way, on %s', (server) => {
  const { pool, start } = useDispatching(server)

  it('comes while a lane is on its way to the barrier of a change of shards: both are carried out', async () => {
    const opened = gate()
    const adapter = new ScriptedAdapter()
    adapter.answer = async ({ key }) => {
      if (key === 'slow') await opened.opened
      return delivered
    }
    const as = (fingerprint: string, shards: number, patterns: string[]) =>
      start({ destinations: { crm: { adapter, patterns, settings: { shards } } }, fingerprint, leaseMs: 2000 })
    const old = [await as('one', 2, ['a.**']), await as('one', 2, ['a.**'])]
    const holders = async (): Promise<number> =>
      (await pool().query('select distinct dispatcher from waybill.lanes where holder is not null')).rowCount ?? 0
    await waitFor(async () => (await holders()) === 2)
    const keys = Array.from({ length: 8 }, (_, i) => `k${i}`)
    for (const key of keys) await publish(pool(), 'a.x', {}, { key })
    await waitFor(() => adapter.delivered.length === keys.length)
    await deploy(pool(), { fingerprint: 'two', generation: undefined, destinations: [{ ...crm, shards: 4 }] })
    await Promise.all(old.map((dispatcher) => dispatcher.stop({ drainMs: 500 })))
    await publish(pool(), 'a.x', {}, { key: 'slow' })
    await as('two', 4, ['a.**'])
    await waitFor(
      async () => {
        const { rows } = await pool().query<{ barrier: boolean; rest: number }>(
          `select r.barrier is not null as barrier, (select count(*)::int from waybill.lanes l where l.rests) as rest
             from waybill.reshards r`,
        )
        return rows[0]?.barrier && rows[0].rest === 1
      },
      { what: 'one lane rests at the barrier, and one is on its way' },
    )
    await as('three', 4, ['a.**', 'b.**'])
    const young = await publish(pool(), 'b.x', {}, { key: 'slow' })
    opened.open()
    await waitFor(() => adapter.ids().includes(young), { what: 'what the new routes want', timeoutMs: 30_000 })
    const { rows } = await pool().query(
      `select r.outcome, (select count(*)::int from waybill.lanes l where l.state = 'active') as lanes from waybill.reshards r`,
    )
    expect(rows).toEqual([{ outcome: 'done', lanes: 4 }])
    expect(new Set(adapter.ids()).size).toBe(keys.length + 2)
  }, 120_000)

  it('asks for the former number of shards while the change from it is being finished: it is changed back', async () => {
    const as = (fingerprint: string, shards: number) =>
      deploy(pool(), { fingerprint, generation: undefined, destinations: [{ ...crm, shards }] })
    await as('one', 1)
    await as('two', 2)
    await pool().query('update waybill.lanes set rests = true')
    const [reshard] = await openReshards(pool())
    const [reached, goOn] = [gate(), gate()]
    let finishing = false
    const slow = watched(pool(), (text) => {
      finishing ||= text.includes(`outcome = 'done'`)
      if (!finishing || text !== 'commit') return undefined
      reached.open()
      return goOn.opened
    })
    const finished = advanceReshard(slow, reshard?.id as string, () => takeTick(pool(), 0))
    await reached.opened
    const deployed = as('three', 1)
    await waitFor(async () => (await pool().query('select from pg_locks where not granted')).rowCount)
    goOn.open()
    expect(await finished).toBe('done')
    expect((await deployed).resharding).toEqual(['crm'])
    const { rows } = await pool().query('select from_shards, to_shards from waybill.reshards where ended_at is null')
    expect(rows).toEqual([{ from_shards: 2, to_shards: 1 }])
  })

  it('is frozen while it holds up ticks: the server lets go of it, and delivery goes on', async () => {
    const adapter = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter, patterns: ['a.**'] } }, fingerprint: 'one' })
    const [locked, thawed] = [gate(), gate()]
    const frozen = watched(pool(), (text) => {
      if (!text.includes('pg_current_snapshot()') || text.includes('lock table')) return undefined
      locked.open()
      return thawed.opened
    })
    const given = { generation: undefined, destinations: [{ ...crm, patterns: ['a.**', 'b.**'] }] }
    const deploying = deploy(frozen, { ...given, fingerprint: 'two' })
    await locked.opened
    try {
      const id = await publish(pool(), 'a.x', {})
      await waitFor(() => adapter.ids().includes(id), {
        what: 'delivery while a deployment is frozen',
        timeoutMs: 20_000,
      })
    } finally {
      thawed.open() // else its lock holds up the end of the test too
    }
    // nothing was left of its first try
    expect(await deploying).toMatchObject({ generation: 2, changed: ['crm'] })
  }, 60_000)

  it('is lost with a failover, and another gets its generation: its dispatchers read nothing by their own routes', async () => {
    const [lost, young] = [new ScriptedAdapter(), new ScriptedAdapter()]
    const as = (fingerprint: string, adapter: ScriptedAdapter, patterns: string[]) =>
      start({ destinations: { crm: { adapter, patterns } }, fingerprint, leaseMs: 1500 })
    await deploy(pool(), { fingerprint: 'one', generation: undefined, destinations: [crm] })
    await as('two', lost, ['a.**', 'b.**'])
    const before = await publish(pool(), 'b.x', {})
    await waitFor(() => lost.ids().includes(before))
    // as the promoted server has it: what was committed last is gone, and so is the incarnation
    const other = { fingerprint: 'other', generation: undefined, destinations: [{ ...crm, patterns: ['c.**'] }] }
    await inTransaction(pool(), async (client) => {
      await client.query('lock table waybill.configurations in exclusive mode')
      await client.query(`delete from waybill.configurations where fingerprint = 'two'`)
      await client.query(`insert into waybill.configurations (fingerprint, generation) values ('other', 2)`)
      await client.query(`update waybill.destinations set topic_regex = '^c\\..*$'`)
      await client.query(`delete from waybill.routes`)
      await client.query(`insert into waybill.routes (pattern, destination) values ('c.**', 'crm')`)
      await client.query('delete from waybill.incarnations')
    })
    const wanted = await publish(pool(), 'c.x', {})
    const unwanted = await publish(pool(), 'b.x', {})
    await waitFor(async () => (await pool().query('select from waybill.lanes where holder is null')).rowCount === 1, {
      what: 'its lane is given back',
      timeoutMs: 10_000,
    })
    expect((await deploy(pool(), other)).generation).toBe(2)
    await as('other', young, ['c.**'])
    await waitFor(() => young.ids().includes(wanted))
    expect([...lost.ids(), ...young.ids()]).not.toContain(unwanted)
  })
})
