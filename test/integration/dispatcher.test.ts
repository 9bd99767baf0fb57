import { isDeepStrictEqual } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import type { Outcome } from '../../src/adapters/contract.js'
import { useDatabase } from '../support/database.js'
import { ScriptedAdapter, type TestDispatcherOptions, publish, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const retry: Outcome = { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }
const pause: Outcome = { kind: 'pause', failure: { code: 'HTTP_502', message: 'bad gateway' } }

describe.each(['pg18', 'pg15'] as const)('dispatcher on %s', (server) => {
  const database = useDatabase({ server })
  const running: Dispatcher[] = []
  const start = async (options: Omit<TestDispatcherOptions, 'pool'>): Promise<Dispatcher> => {
    const dispatcher = await startDispatcher({ pool: database().pool, listenUrl: database().url, ...options })
    running.push(dispatcher)
    return dispatcher
  }
  afterEach(async () => {
    await Promise.all(running.splice(0).map((d) => d.stop({ drainMs: 1000 })))
    await database().pool.query(
      'truncate waybill.destinations, waybill.messages, waybill.configurations, waybill.attempts, waybill.receipts cascade',
    )
  })

  it('delivers what was published before and after it started, in order', async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    const ids: string[] = []
    for (let i = 0; i < 150; i++) ids.push(await publish(pool, 'order.created', { i }, { key: 'one' }))
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 150)
    for (let i = 0; i < 20; i++) ids.push(await publish(pool, 'order.created', { i }, { key: 'one' }))
    await waitFor(() => adapter.delivered.length >= 170)
    expect(adapter.ids()).toEqual(ids)
  })

  it('parks a message that fails, holds its key, lets other keys pass, and goes on when it is delivered', async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    const bad = await publish(pool, 'order.created', {}, { key: 'bad' })
    const behind = await publish(pool, 'order.created', {}, { key: 'bad' })
    const good = await publish(pool, 'order.created', {}, { key: 'good' })
    let failures = 0
    adapter.answer = (m) => (m.id === bad && failures++ < 2 ? retry : { kind: 'delivered' })
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 3)
    expect(adapter.ids()).toEqual([good, bad, behind])
    await waitFor(async () => (await pool.query('select from waybill.deliveries')).rowCount === 0)
    const { rows } = await pool.query(
      'select attempt, outcome from waybill.attempts where message_id = $1 order by attempt',
      [bad],
    )
    expect(rows).toEqual([
      { attempt: 1, outcome: 'retry' },
      { attempt: 2, outcome: 'retry' },
      { attempt: 3, outcome: 'delivered' },
    ])
  })

  it('gives up after maxAttempts, keeps the key held, and goes on after an operator retried', async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    const bad = await publish(pool, 'order.created', {}, { key: 'bad' })
    const behind = await publish(pool, 'order.created', {}, { key: 'bad' })
    let broken = true
    adapter.answer = (m) => (m.id === bad && broken ? retry : { kind: 'delivered' })
    await start({ destinations: { crm: { adapter } } })
    const states = async (): Promise<unknown[]> =>
      (await pool.query<{ id: string }>('select message_id as id, state, attempt from waybill.deliveries order by seq'))
        .rows
    await waitFor(async () => ((await states())[0] as { state?: string } | undefined)?.state === 'dead')
    expect(await states()).toEqual([
      { id: bad, state: 'dead', attempt: 3 },
      { id: behind, state: 'held', attempt: 0 },
    ])
    expect(adapter.delivered).toEqual([])
    broken = false
    await pool.query('select waybill.retry(p_message => $1)', [bad])
    await waitFor(() => adapter.delivered.length >= 2)
    expect(adapter.ids()).toEqual([bad, behind])
  })

  it('writes nothing while the destination is down, and goes on when it is back', async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    adapter.answer = () => pause
    for (let i = 0; i < 30; i++) await publish(pool, 'order.created', { i }, { key: `k${i % 3}` })
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.attempts.length > 20)
    const { rows } = await pool.query(
      `select (select count(*) from waybill.deliveries)::int as parked, (select count(*) from waybill.attempts)::int as attempts,
              (select pause_kind from waybill.lanes) as pause`,
    )
    expect(rows).toEqual([{ parked: 0, attempts: 0, pause: 'outage' }])
    adapter.answer = () => ({ kind: 'delivered' })
    await waitFor(() => adapter.delivered.length >= 30)
    await waitFor(async () => (await pool.query(`select from waybill.lanes where state = 'active'`)).rowCount === 1)
  })

  it('says that it goes on, though it starts again from what is stored in the middle of an outage', async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    adapter.answer = () => pause
    await publish(pool, 'order.created', {})
    await start({ destinations: { crm: { adapter } } })
    // the reason goes on with the ids of those that failed
    const said = async (): Promise<unknown> =>
      (
        await pool.query(
          `select state, pause_kind, split_part(pause_reason, ';', 1) as pause_reason from waybill.lanes`,
        )
      ).rows[0]
    const paused = { state: 'paused', pause_kind: 'outage', pause_reason: 'HTTP_502: bad gateway' }
    await waitFor(async () => isDeepStrictEqual(await said(), paused))
    // as pg tells of an idle connection that broke: what lanes know is not trusted any more
    pool.emit('error', new Error('Connection terminated unexpectedly'))
    adapter.answer = () => ({ kind: 'delivered' })
    await waitFor(() => adapter.delivered.length === 1)
    await waitFor(async () =>
      isDeepStrictEqual(await said(), { state: 'active', pause_kind: null, pause_reason: null }),
    )
  })

  it('finds the one message that looks like an outage', async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    const poison = await publish(pool, 'order.created', {}, { key: 'poison' })
    const behind = await publish(pool, 'order.created', {}, { key: 'poison' })
    for (let i = 0; i < 50; i++) await publish(pool, 'order.created', { i }, { key: `k${i}` })
    adapter.answer = (m) => (m.id === poison ? pause : { kind: 'delivered' })
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 50)
    // each further attempt is charged once another message has got through: without that it may be an outage
    await waitFor(async () => {
      await publish(pool, 'order.created', {}, { key: 'later' })
      const { rows } = await pool.query<{ state: string }>('select state from waybill.deliveries order by seq')
      return rows.map((r) => r.state).join() === 'dead,held'
    })
    expect(adapter.ids()).not.toContain(behind)
  })

  /** Two dispatchers that have settled on two lanes each. */
  async function sharing() {
    const { pool } = database()
    const one = new ScriptedAdapter()
    const two = new ScriptedAdapter()
    const settings = { shards: 4 }
    const first = await start({ destinations: { crm: { adapter: one, settings } }, leaseMs: 1000 })
    await start({ destinations: { crm: { adapter: two, settings } }, leaseMs: 1000 })
    const settled = (shares: string): Promise<unknown> =>
      waitFor(
        async () => {
          const { rows } = await pool.query<{ n: number }>(
            'select count(*)::int as n from waybill.lanes where holder is not null group by dispatcher',
          )
          return rows.map(({ n }) => n).join() === shares
        },
        { what: `lanes shared as ${shares}` },
      )
    const deliverMore = async (): Promise<void> => {
      const before = one.delivered.length + two.delivered.length
      for (let i = 0; i < 100; i++) await publish(pool, 'order.created', { i }, { key: `k${i}` })
      await waitFor(() => one.delivered.length + two.delivered.length >= before + 100)
    }
    await settled('2,2')
    return { one, two, first, settled, deliverMore }
  }

  it('shares lanes between two dispatchers and takes over from one that is gone', async () => {
    const { one, two, first, settled, deliverMore } = await sharing()
    await deliverMore()
    expect(one.delivered.length).toBeGreaterThan(0)
    expect(two.delivered.length).toBeGreaterThan(0)
    await first.stop()
    await settled('4')
    await deliverMore()
  })

  it('lets others take what is written down as its own and is not: a failover put older rows back', async () => {
    const { first, settled, deliverMore } = await sharing()
    const held = first.lanes().map(({ name }) => name.laneId)
    await database().pool.query(
      'update waybill.lanes set dispatcher = $1, holder = gen_random_uuid() where not id = any($2)',
      [first.id, held],
    )
    await settled('2,2')
    await deliverMore()
  })
})
