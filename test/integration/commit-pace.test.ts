import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { delivered, useDispatching } from './dispatching-fixture.js'

describe('the commits of a lane', () => {
  const { pool, start } = useDispatching()
  const commits = async (): Promise<number> => {
    const { rows } = await pool().query<{ n: string }>('select max(n) as n from waybill.positions')
    return Number(rows[0]?.n)
  }

  it('keep a pace, however fast answers come, and the last one leaves nothing out', async () => {
    const messages = 300
    const adapter = new ScriptedAdapter({ concurrency: 1, maxBatch: 1 })
    adapter.answer = async () => {
      await sleep(1)
      return delivered
    }
    for (let n = 0; n < messages; n++) await publish(pool(), 'order.created', n)
    const began = performance.now()
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    const before = await commits()
    await dispatcher.drain()
    const tookMs = performance.now() - began
    expect(adapter.delivered).toHaveLength(messages)
    // 10 ms apart, but for the first, the last, and those with a quarter of a window (500) delivered
    expect((await commits()) - before).toBeLessThanOrEqual(tookMs / 10 + messages / 125 + 2)
    const { rows } = await pool().query<{ delivered: number }>(
      'select delivered::int from waybill.positions order by n desc limit 1',
    )
    expect(rows).toEqual([{ delivered: messages }])
  })
})
