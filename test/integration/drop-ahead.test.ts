import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import { runMaintenance } from '../../src/outbox/retention/index.js'
import { publish, ScriptedAdapter } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { count, useDispatching } from './dispatching-fixture.js'

const delivered: Outcome = { kind: 'delivered' }
const down: Outcome = { kind: 'pause', failure: { code: 'HTTP_503', message: 'down' } }
const failed: Outcome = { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }

describe('a message that is not parked is dropped', () => {
  const { pool, start } = useDispatching()
  const drop = async (id: string, destination: string | null = null): Promise<number> => {
    const { rows } = await pool().query<{ n: number }>(
      `select waybill.drop_deliveries('paid by hand', p_message => $1, p_destination => $2, p_actor => 'ann') as n`,
      [id, destination],
    )
    return rows[0]?.n ?? -1
  }
  const state = async (): Promise<unknown> =>
    (await pool().query<{ state: string }>('select state from waybill.lane_status')).rows[0]?.state

  it('while the lane stands in front of it: it goes on at once, with the next of its key', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 1 })
    const bad = await publish(pool(), 'order.created', {}, { key: 'k' })
    const next = await publish(pool(), 'order.created', {}, { key: 'k' })
    adapter.answer = ({ id }) => (id === bad ? down : delivered)
    await start({ destinations: { crm: { adapter, settings: { probe: { baseMs: 60_000, capMs: 60_000 } } } } })
    await waitFor(async () => (await state()) === 'paused')
    const row = (await pool().query<{ error: string }>('select error from waybill.undelivered')).rows[0]
    expect(row?.error).toContain(bad)
    expect(await drop(bad)).toBe(1)
    await waitFor(() => adapter.delivered.length === 1, { timeoutMs: 10_000 })
    expect(adapter.ids()).toEqual([next])
    await waitFor(async () => (await state()) === 'active')
    const told = await pool().query('select outcome, message from waybill.attempts')
    expect(told.rows).toEqual([{ outcome: 'dropped', message: 'paid by hand' }])
    const audit = await pool().query(
      `select on_behalf_of, reason, target->>'message' as message from waybill.audit where action = 'drop'`,
    )
    expect(audit.rows).toEqual([{ on_behalf_of: 'ann', reason: 'paid by hand', message: bad }])
    expect(await drop(bad)).toBe(0)
  })

  it.each([
    ['fails as in an outage', down],
    ['fails', failed],
    ['is not answered', undefined],
  ])('while it is under way, and then %s: it is neither parked nor sent again', async (_, outcome) => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 4 })
    const bad = await publish(pool(), 'order.created', {}, { key: 'k' })
    const next = await publish(pool(), 'order.created', {}, { key: 'k' })
    let answer: (outcome: Outcome | undefined) => void = () => undefined
    adapter.answer = ({ id }) => (id === bad ? new Promise((resolve) => (answer = resolve)) : delivered)
    const { pool: counted, heard } = watched()
    await start({ pool: counted, destinations: { crm: { adapter, settings: { slowAfterMs: 60_000 } } } })
    await waitFor(() => adapter.attempts.length === 1)
    const before = heard()
    expect(await drop(bad)).toBe(1)
    await waitFor(() => heard() > before)
    answer(outcome)
    await waitFor(() => adapter.delivered.some(({ id }) => id === next))
    await waitFor(async () => (await count(pool(), 'deliveries')) === 0 && (await behind()) === 0)
    expect(adapter.attempts.filter(({ id }) => id === bad)).toHaveLength(1)
    expect(await count(pool(), 'deliveries')).toBe(0)
  })

  it('and may still get through when it was under way', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1 })
    const slow = await publish(pool(), 'order.created', {}, { key: 'k' })
    let answer: (outcome: Outcome) => void = () => undefined
    adapter.answer = () => new Promise((resolve) => (answer = resolve))
    await start({ destinations: { crm: { adapter, settings: { slowAfterMs: 60_000 } } } })
    await waitFor(() => adapter.attempts.length === 1)
    expect(await drop(slow)).toBe(1)
    answer(delivered)
    await waitFor(async () => (await behind()) === 0)
    expect(adapter.ids()).toEqual([slow])
  })

  it('while no dispatcher runs, or the one that did is gone: the next does not send it', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1 })
    const bad = await publish(pool(), 'order.created', {}, { key: 'k' })
    const next = await publish(pool(), 'order.created', {}, { key: 'k' })
    adapter.answer = () => down
    const first = await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.attempts.length > 0)
    await first.stop({ drainMs: 0 })
    expect(await drop(bad, 'crm')).toBe(1)
    const second = new ScriptedAdapter({ maxBatch: 1 })
    await start({ destinations: { crm: { adapter: second } } })
    await waitFor(async () => (await behind()) === 0)
    expect(second.ids()).toEqual([next])
  })

  it('before it is read: the lane passes it when it gets there', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 1 })
    const ids: string[] = []
    for (let i = 0; i < 30; i++) ids.push(await publish(pool(), 'order.created', {}, { key: 'k' }))
    let broken = true
    adapter.answer = () => (broken ? down : delivered)
    const settings = { window: 5, probe: { baseMs: 20, capMs: 20 } }
    const { pool: counted, heard } = watched()
    await start({ pool: counted, destinations: { crm: { adapter, settings } }, pageSize: 5 })
    await waitFor(async () => (await state()) === 'paused')
    const before = heard()
    expect(await drop(ids[29] as string)).toBe(1)
    await waitFor(() => heard() > before)
    broken = false
    await waitFor(async () => (await behind()) === 0)
    expect(adapter.ids()).toEqual(ids.slice(0, 29))
  })

  it('for one destination alone, where it says so; and what was passed long ago is forgotten', async () => {
    const crm = new ScriptedAdapter({ maxBatch: 1 })
    const ware = new ScriptedAdapter({ maxBatch: 1 })
    crm.answer = () => down
    ware.answer = () => down
    const id = await publish(pool(), 'order.created', {})
    await start({ destinations: { crm: { adapter: crm }, ware: { adapter: ware } } })
    await waitFor(() => crm.attempts.length > 0 && ware.attempts.length > 0)
    expect(await drop(id, 'crm')).toBe(1)
    await waitFor(async () => (await behind('crm')) === 0)
    ware.answer = () => delivered
    await waitFor(() => ware.delivered.length === 1)
    expect(crm.delivered).toEqual([])
    const kept = async (): Promise<number> => {
      await runMaintenance(pool(), {})
      return count(pool(), 'dropped')
    }
    expect(await kept()).toBe(1)
    await pool().query(`update waybill.dropped set dropped_at = now() - interval '2 days'`)
    expect(await kept()).toBe(0)
  })

  it('and is kept for as long as its lane has not passed it', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1 })
    adapter.answer = () => down
    const first = await start({ destinations: { crm: { adapter } } })
    await first.stop({ drainMs: 0 })
    const id = await publish(pool(), 'order.created', {})
    expect(await drop(id)).toBe(1)
    await pool().query(`update waybill.dropped set dropped_at = now() - interval '2 days'`)
    await runMaintenance(pool(), {})
    expect(await count(pool(), 'dropped')).toBe(1)
  })

  async function behind(destination = 'crm'): Promise<number> {
    const { rows } = await pool().query<{ n: string }>(
      'select lag_messages as n from waybill.lane_status where destination = $1',
      [destination],
    )
    return Number(rows[0]?.n)
  }

  // a session of the dispatcher has read the table after the drop was committed
  /** A pool that counts how often a lane has read what was dropped: at its start, and after each act of an operator. */
  function watched(): { readonly pool: pg.Pool; heard: () => number } {
    let reads = 0
    const query = async (text: string | pg.QueryConfig, values?: unknown[]): Promise<unknown> => {
      const result = await pool().query(text, values)
      if (typeof text === 'string' && text.includes('waybill.dropped')) reads++
      return result
    }
    const proxy = new Proxy(pool(), {
      get(target, name) {
        if (name === 'query') return query
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
    return { pool: proxy, heard: () => reads }
  }
})
