import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { count, gate, useDispatching } from './dispatching-fixture.js'

const longMs = 600_000

/** Answers when the gate opens; with nothing when it is aborted. */
function hanging() {
  const answer = gate()
  const adapter = new ScriptedAdapter()
  adapter.answer = async (_message, { signal }) => {
    const abort = new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    await Promise.race([answer.opened, abort])
    return signal.aborted ? undefined : { kind: 'delivered' }
  }
  return { adapter, answer }
}

describe('stopping a dispatcher', () => {
  const { pool, start } = useDispatching()

  it('aborts at once when it is called again with a shorter time, and still gives its lanes back', async () => {
    const { adapter } = hanging()
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.attempts.length === 1)
    const stopped = dispatcher.stop({ drainMs: longMs })
    // this one would never come to its end
    await dispatcher.stop({ drainMs: 0 })
    await stopped
    expect(adapter.delivered).toEqual([])
    expect(await count(pool(), 'lanes', 'holder is not null')).toBe(0)
    expect(await count(pool(), 'dispatchers')).toBe(0)
    expect(await count(pool(), 'deliveries')).toBe(0)
  })

  it('waits no shorter when it is called again with a longer time, or with none', async () => {
    const { adapter, answer } = hanging()
    const slept: number[] = []
    const sleep = (ms: number, signal?: AbortSignal): Promise<void> => {
      slept.push(ms)
      return systemClock.sleep(ms, signal)
    }
    const dispatcher = await start({ destinations: { crm: { adapter } }, clock: { ...systemClock, sleep } })
    const id = await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.attempts.length === 1)
    const stops = [dispatcher.stop({ drainMs: longMs }), dispatcher.stop(), dispatcher.stop({ drainMs: longMs * 2 })]
    answer.open()
    await Promise.all(stops)
    expect(adapter.ids()).toEqual([id])
    expect(slept).toContain(longMs)
    expect(slept).not.toContain(10_000) // the default of a first call
  })

  it('waits as long as it takes where it is given for ever', async () => {
    const { adapter, answer } = hanging()
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    const id = await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.attempts.length === 1)
    const stopped = dispatcher.stop({ drainMs: Infinity })
    // time enough for a timer that went off at once
    for (let i = 0; i < 20; i++) await pool().query('select')
    answer.open()
    await stopped
    expect(adapter.ids()).toEqual([id])
  })
})
