import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { eventually, waitFor } from '../support/wait-for.js'
import {
  count,
  dead,
  delivered,
  down,
  gate,
  memoryLogger,
  parkedStates,
  retry,
  useDispatching,
} from './dispatching-fixture.js'

const bad = { key: 'bad' }

describe.each(['pg18', 'pg15'] as const)('messages that failed, on %s', (server) => {
  const { pool, start } = useDispatching(server)

  it('that are dropped let their key go on, and are kept in the attempts', async () => {
    const adapter = new ScriptedAdapter()
    const [poison, ...behind] = [
      await publish(pool(), 'order.created', {}, bad),
      await publish(pool(), 'order.created', {}, bad),
      await publish(pool(), 'order.created', {}, bad),
    ]
    adapter.answer = ({ id }) => (id === poison ? dead : delivered)
    await start({ destinations: { crm: { adapter } } })
    await waitFor(async () => (await parkedStates(pool())).join() === 'dead,held,held')
    await pool().query(`select waybill.drop_deliveries('no such customer any more', p_message => $1)`, [poison])
    await waitFor(() => adapter.delivered.length >= 2)
    expect(adapter.ids()).toEqual(behind)
    await waitFor(async () => (await count(pool(), 'deliveries')) === 0)
    const { rows } = await pool().query(
      'select outcome, message from waybill.attempts where message_id = $1 order by at',
      [poison],
    )
    expect(rows).toEqual([
      { outcome: 'dead', message: 'never' },
      { outcome: 'dropped', message: 'no such customer any more' },
    ])
  })

  it('and are dead release their key where the destination says so', async () => {
    const adapter = new ScriptedAdapter()
    const poison = await publish(pool(), 'order.created', {}, bad)
    const behind = await publish(pool(), 'order.created', {}, bad)
    let broken = true
    adapter.answer = ({ id }) => (id === poison && broken ? dead : delivered)
    await start({ destinations: { crm: { adapter, settings: { onDead: 'release' } } } })
    await waitFor(() => adapter.delivered.length >= 1)
    expect(adapter.ids()).toEqual([behind])
    await waitFor(async () => (await parkedStates(pool())).join() === 'dead')
    broken = false
    await pool().query('select waybill.retry(p_message => $1)', [poison])
    await waitFor(() => adapter.delivered.length >= 2)
    expect(adapter.ids()).toEqual([behind, poison])
  })

  it('hold nobody back with order none, not even of their own key', async () => {
    const adapter = new ScriptedAdapter()
    const failing = await publish(pool(), 'order.created', {}, bad)
    const others: string[] = []
    for (let i = 0; i < 10; i++) others.push(await publish(pool(), 'order.created', { i }, bad))
    const opened = gate()
    adapter.answer = async ({ id }) => {
      if (id !== failing) return delivered
      await opened.opened
      return retry
    }
    await start({ destinations: { crm: { adapter, settings: { order: 'none', maxAttempts: 2 } } } })
    await waitFor(() => adapter.delivered.length >= 10)
    expect(adapter.ids().sort()).toEqual([...others].sort())
    opened.open()
    await waitFor(async () => (await parkedStates(pool())).join() === 'dead')
  })

  it('wait as long as the destination asked', async () => {
    const adapter = new ScriptedAdapter()
    await publish(pool(), 'order.created', {})
    const times: number[] = []
    adapter.answer = () => {
      times.push(performance.now())
      return times.length === 1 ? { ...retry, retryAfterMs: 1500 } : delivered
    }
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 1)
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(1490)
  })

  it('are never sent again once they got through, however often an operator acts meanwhile', async () => {
    const adapter = new ScriptedAdapter({ concurrency: 8, maxBatch: 8 })
    const failed = new Set<string>()
    adapter.answer = ({ id }) => {
      if (failed.has(id)) return delivered
      failed.add(id)
      return retry
    }
    for (let i = 0; i < 300; i++) await publish(pool(), 'order.created', { i })
    // a lease that no load makes it lose: starting again from what is stored may send twice, and this is not about that
    const logger = memoryLogger()
    await start({ destinations: { crm: { adapter } }, leaseMs: 60_000, logger })
    let acting = true
    const acts = (async () => {
      while (acting) await pool().query('select waybill.lane_command(array(select id from waybill.lanes))')
    })()
    try {
      await waitFor(() => new Set(adapter.ids()).size === 300)
    } finally {
      acting = false
      await acts
    }
    await waitFor(async () => (await count(pool(), 'deliveries')) === 0)
    expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([])
    expect(adapter.delivered.length).toBe(300)
  })
})

describe('the limit of parked deliveries', () => {
  const { pool, start } = useDispatching()
  const lane = async (): Promise<unknown> =>
    (await pool().query('select state, pause_kind as kind from waybill.lanes')).rows[0]

  it('pauses the lane and says so; it goes on when rows are dropped', async () => {
    const adapter = new ScriptedAdapter()
    adapter.answer = ({ key }) => (key === 'fine' ? delivered : dead)
    const settings = { maxParked: 20, window: 10 }
    for (let i = 0; i < 60; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    await publish(pool(), 'order.created', {}, { key: 'fine' })
    const dispatcher = await start({ destinations: { crm: { adapter, settings } }, pageSize: 10 })
    await waitFor(() => dispatcher.lanes()[0]?.status?.paused === 'parked_limit')
    await eventually(async () => expect(await lane()).toEqual({ state: 'paused', kind: 'parked_limit' }))
    await waitFor(async () => (await count(pool(), 'deliveries')) >= 20)
    const parked = await count(pool(), 'deliveries')
    // no further than what had been read when the limit was met
    expect(parked).toBeLessThanOrEqual(20 + 10)
    expect(adapter.delivered).toEqual([])
    await waitFor(async () => {
      await pool().query(`select waybill.drop_deliveries('test')`)
      return adapter.delivered.length === 1
    })
    await eventually(async () => expect(await lane()).toEqual({ state: 'active', kind: null }))
  })

  it('is told again after an outage that came and went while it was met', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 2 })
    adapter.answer = () => retry
    const settings = { maxParked: 4, window: 4, maxAttempts: 1000 }
    for (let i = 0; i < 4; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    await start({ destinations: { crm: { adapter, settings } } })
    await waitFor(async () => JSON.stringify(await lane()).includes('parked_limit'))
    adapter.answer = () => down
    await waitFor(async () => JSON.stringify(await lane()).includes('outage'))
    adapter.answer = () => retry
    await waitFor(async () => JSON.stringify(await lane()).includes('parked_limit'))
  })

  it('may be passed by what was read already, and none of that is forgotten or overtaken', async () => {
    const adapter = new ScriptedAdapter()
    const poison = await publish(pool(), 'order.created', {}, bad)
    const behind: string[] = []
    for (let i = 0; i < 60; i++) behind.push(await publish(pool(), 'order.created', { i }, bad))
    let broken = true
    adapter.answer = ({ id }) => (id === poison && broken ? dead : delivered)
    await start({ destinations: { crm: { adapter, settings: { maxParked: 10, window: 100 } } } })
    await waitFor(async () => (await count(pool(), 'deliveries')) === 61)
    // an operator's act makes the lane read all of them again
    broken = false
    await pool().query('select waybill.lane_command(array(select id from waybill.lanes))')
    await pool().query('select waybill.retry(p_message => $1)', [poison])
    const last = await publish(pool(), 'order.created', {}, bad)
    await waitFor(() => adapter.ids().includes(last))
    expect(adapter.ids()).toEqual([poison, ...behind, last])
  })
})

describe('an answer that is slow to come', () => {
  const { pool, start } = useDispatching()

  it('does not stall the others: it is written down as in flight, uncharged, and settled when it comes', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 4 })
    const slow = await publish(pool(), 'order.created', {}, { key: 'slow' })
    const behind = await publish(pool(), 'order.created', {}, { key: 'slow' })
    const answer = gate<Outcome>()
    adapter.answer = ({ id }) => (id === slow ? answer.opened : delivered)
    for (let i = 0; i < 40; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    const settings = { slowAfterMs: 300, window: 10 }
    await start({ destinations: { crm: { adapter, settings } } })
    // the window is smaller than what follows: only a cursor that passes the slow one lets the rest be read
    await waitFor(() => adapter.delivered.length >= 40)
    await waitFor(async () => (await parkedStates(pool())).join() === 'in_flight,held')
    const { rows } = await pool().query('select attempt from waybill.deliveries order by seq')
    expect(rows).toEqual([{ attempt: 0 }, { attempt: 0 }])
    expect(await count(pool(), 'attempts')).toBe(0)
    answer.open(delivered)
    await waitFor(() => adapter.delivered.length >= 42)
    expect(adapter.ids().slice(40)).toEqual([slow, behind])
    expect(adapter.attempts.filter(({ id }) => id === slow).length).toBe(1)
    await waitFor(async () => (await count(pool(), 'deliveries')) === 0)
  })

  it.each([
    ['a failure', retry, 2],
    ['an outage', down, 2],
  ])('may be %s: order is kept', async (_, late, attempts) => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 4 })
    const slow = await publish(pool(), 'order.created', {}, { key: 'slow' })
    const behind = await publish(pool(), 'order.created', {}, { key: 'slow' })
    const answer = gate<Outcome>()
    let asked = 0
    adapter.answer = ({ id }) => (id === slow && asked++ === 0 ? answer.opened : delivered)
    await start({ destinations: { crm: { adapter, settings: { slowAfterMs: 200 } } } })
    const other = await publish(pool(), 'order.created', {})
    await waitFor(async () => (await parkedStates(pool())).join() === 'in_flight,held')
    answer.open(late)
    await waitFor(() => adapter.delivered.length >= 3)
    expect(adapter.ids()).toEqual([other, slow, behind])
    expect(asked).toBe(attempts)
  })

  it('is sent again by the next holder when the dispatcher ended before it came', async () => {
    const adapter = new ScriptedAdapter()
    const id = await publish(pool(), 'order.created', {})
    adapter.answer = (message, { signal }) =>
      message.id === id
        ? new Promise((resolve) => signal.addEventListener('abort', () => resolve(undefined)))
        : delivered
    const first = await start({ destinations: { crm: { adapter, settings: { slowAfterMs: 100 } } } })
    await publish(pool(), 'order.created', {})
    await waitFor(async () => (await parkedStates(pool())).join() === 'in_flight')
    await first.stop({ drainMs: 1 })
    const next = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter: next } } })
    await waitFor(async () => next.delivered.length >= 1 && (await count(pool(), 'deliveries')) === 0)
    expect(next.ids()).toEqual([id])
  })
})

describe('a message that looks like an outage', () => {
  const { pool, start } = useDispatching()
  const stats = async (): Promise<unknown> =>
    (await pool().query('select state from waybill.deliveries order by seq limit 1')).rows[0]

  it('and is never answered is found out when others get through', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 1 })
    const poison = await publish(pool(), 'order.created', {}, bad)
    for (let i = 0; i < 20; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    adapter.answer = ({ id }) => (id === poison ? undefined : delivered)
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 20)
    // each further attempt is charged once another message has got through: without that it may be an outage
    await eventually(async () => {
      await publish(pool(), 'order.created', {}, { key: 'later' })
      expect(await stats()).toEqual({ state: 'dead' })
    })
  })

  it('is found out among others of its key where order does not matter', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 1 })
    const poison = await publish(pool(), 'order.created', {}, bad)
    for (let i = 0; i < 20; i++) await publish(pool(), 'order.created', { i }, bad)
    adapter.answer = ({ id }) => (id === poison ? down : delivered)
    await start({ destinations: { crm: { adapter, settings: { order: 'none' } } } })
    await waitFor(() => adapter.delivered.length >= 20)
  })

  it('is found out behind a backlog of its own key that is longer than the window', async () => {
    const adapter = new ScriptedAdapter()
    const poison = await publish(pool(), 'order.created', {}, bad)
    for (let i = 0; i < 60; i++) await publish(pool(), 'order.created', { i }, bad)
    for (let i = 0; i < 20; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    adapter.answer = ({ id }) => (id === poison ? down : delivered)
    await start({ destinations: { crm: { adapter, settings: { window: 20 } } }, pageSize: 10 })
    await waitFor(() => adapter.delivered.length >= 20)
  })

  it('convicts nobody when the adapter answers for no message at all, and goes on when it does', async () => {
    const adapter = new ScriptedAdapter()
    for (let i = 0; i < 10; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    let broken = true
    adapter.answer = () => {
      if (broken) throw new Error('a bug of the adapter')
      return delivered
    }
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.attempts.length > 20)
    expect(await count(pool(), 'deliveries')).toBe(0)
    broken = false
    await waitFor(() => adapter.delivered.length >= 10)
    expect(await count(pool(), 'attempts')).toBe(0)
  })
})
