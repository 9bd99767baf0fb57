import { describe, expect, it } from 'vitest'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { ScriptedAdapter, makeDispatcher, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { count, delivered, down, gate, useDispatching } from './dispatching-fixture.js'

describe('a dispatcher stops', () => {
  const { pool, start } = useDispatching()
  const heldBy = (dispatcher: Dispatcher): Promise<number> => count(pool(), 'lanes', `dispatcher = '${dispatcher.id}'`)

  it('in its first stage it sends nothing new, waits for what is under way, and stores it', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 2 })
    const answer = gate()
    adapter.answer = async () => {
      await answer.opened
      return delivered
    }
    const ids: string[] = []
    for (let i = 0; i < 10; i++) ids.push(await publish(pool(), 'order.created', { i }))
    const first = await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.attempts.length === 2)
    let stopped = false
    const stop = first.stop({ drainMs: 60_000 }).then(() => (stopped = true))
    // a second dispatcher gets what is left, and nothing twice
    const second = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter: second } }, leaseMs: 60_000 })
    expect({ stopped, attempts: adapter.attempts.length }).toEqual({ stopped: false, attempts: 2 })
    expect(second.attempts).toEqual([])
    answer.open()
    await stop
    expect(adapter.ids()).toEqual(ids.slice(0, 2))
    // long before the second could have taken the first for gone
    await waitFor(() => second.delivered.length >= 8)
    expect(second.ids()).toEqual(ids.slice(2))
    expect(await heldBy(first)).toBe(0)
    expect(await count(pool(), 'dispatchers', `id = '${first.id}'`)).toBe(0)
  })

  it('in its second stage it aborts what has had its time, and that is sent again', async () => {
    const adapter = new ScriptedAdapter()
    let aborted = false
    adapter.answer = (_, { signal }) =>
      new Promise((resolve) =>
        signal.addEventListener('abort', () => {
          aborted = true
          resolve(undefined)
        }),
      )
    const id = await publish(pool(), 'order.created', {})
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.attempts.length === 1)
    const from = performance.now()
    await dispatcher.stop({ drainMs: 200 })
    expect(aborted).toBe(true)
    expect(performance.now() - from).toBeGreaterThan(190)
    expect(await count(pool(), 'deliveries')).toBe(0)
    const next = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter: next } } })
    await waitFor(() => next.delivered.length >= 1)
    expect(next.delivered.map(({ id, attempt }) => ({ id, attempt }))).toEqual([{ id, attempt: 1 }])
  })

  it('while it takes lanes: it keeps none of them', async () => {
    const settings = { shards: 8 }
    const other = await start({ destinations: { crm: { adapter: new ScriptedAdapter(), settings } } })
    let stop: Promise<void> | undefined
    const dispatcher: Dispatcher = await start({
      destinations: { crm: { adapter: new ScriptedAdapter(), settings } },
      hooks: { onLaneAcquired: () => void (stop ??= dispatcher.stop()) },
    })
    await waitFor(() => stop !== undefined, { what: 'the first lane' })
    await stop
    expect(dispatcher.lanes()).toEqual([])
    expect(await heldBy(dispatcher)).toBe(0)
    await waitFor(async () => (await heldBy(other)) === 8)
  })

  it('twice, or before it was started: nothing happens a second time, and it takes nothing any more', async () => {
    const adapter = new ScriptedAdapter()
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    const both = [dispatcher.stop(), dispatcher.stop()]
    expect(both[0]).toBe(both[1])
    await Promise.all(both)
    await dispatcher.start()
    await publish(pool(), 'order.created', {})
    const other = new ScriptedAdapter()
    const second = await start({ destinations: { crm: { adapter: other } } })
    await waitFor(() => other.delivered.length >= 1)
    expect(adapter.attempts).toEqual([])
    expect(await heldBy(second)).toBe(1)
    expect(await count(pool(), 'dispatchers')).toBe(1)
  })

  it('while it starts: it ends, and leaves nothing behind', async () => {
    const adapter = new ScriptedAdapter()
    const first = await start({ destinations: { crm: { adapter } } })
    await first.stop()
    const dispatcher = await makeDispatcher({ pool: pool(), destinations: { crm: { adapter } } })
    await Promise.all([dispatcher.start(), dispatcher.start(), dispatcher.stop()])
    expect(dispatcher.lanes()).toEqual([])
    expect(await count(pool(), 'lanes', 'holder is not null')).toBe(0)
    expect(await count(pool(), 'dispatchers')).toBe(0)
  })
})

describe('draining', () => {
  const { pool, start } = useDispatching()

  it('ends when all that was committed before the call is delivered or parked, and not before', async () => {
    const slow = new ScriptedAdapter()
    const fast = new ScriptedAdapter()
    const answer = gate()
    const dispatcher = await start({ destinations: { slow: { adapter: slow }, fast: { adapter: fast } } })
    for (let i = 0; i < 20; i++) await publish(pool(), 'order.created', { i }, { key: `k${i % 3}` })
    await dispatcher.drain()
    expect([slow.delivered.length, fast.delivered.length]).toEqual([20, 20])
    slow.answer = async () => {
      await answer.opened
      return delivered
    }
    await publish(pool(), 'order.created', {})
    let drained = false
    const draining = dispatcher.drain().then(() => (drained = true))
    await waitFor(() => fast.delivered.length >= 21 && slow.attempts.length === 21)
    for (let i = 0; i < 5; i++) await dispatcher.drain(AbortSignal.timeout(50)).catch(() => undefined)
    expect(drained).toBe(false)
    answer.open()
    await draining
    expect(slow.delivered.length).toBe(21)
  })

  it('rejects when its signal aborts, and when the dispatcher stops with messages undelivered', async () => {
    const adapter = new ScriptedAdapter()
    adapter.answer = () => down
    await publish(pool(), 'order.created', {})
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    await expect(dispatcher.drain(AbortSignal.timeout(100))).rejects.toMatchObject({ name: 'TimeoutError' })
    const draining = expect(dispatcher.drain()).rejects.toMatchObject({ code: 'WAYBILL_DISPATCHER_STOPPED' })
    await waitFor(() => adapter.attempts.length > 1)
    await dispatcher.stop()
    await draining
    expect(adapter.delivered).toEqual([])
  })
})
