import { describe, expect, it } from 'vitest'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { useDispatching } from './dispatching-fixture.js'

describe('a dedupe key', () => {
  const { pool, start } = useDispatching()

  const publishOnce = async (key: string, runInMs = 0, topic = 'invoice.due'): Promise<string> => {
    const { rows } = await pool().query<{ id: string }>(
      `select waybill.publish($1::text, '{}', dedupe_key => $2::text,
         run_at => clock_timestamp() + $3::float8 * interval '1 ms') as id`,
      [topic, key, runInMs],
    )
    return rows[0]?.id as string
  }

  it('lets one of many publishes through to each destination, and gives all of them its id', async () => {
    const crm = new ScriptedAdapter()
    const bank = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter: crm }, bank: { adapter: bank } } })
    const ids = await Promise.all(Array.from({ length: 12 }, () => publishOnce('2026-11')))
    expect(new Set(ids).size).toBe(1)
    const other = await publishOnce('2026-12')
    const elsewhere = await publishOnce('2026-11', 0, 'invoice.paid')
    const last = await publish(pool(), 'order.created', {})
    for (const adapter of [crm, bank]) {
      await waitFor(() => adapter.ids().includes(last))
      expect(adapter.ids().sort()).toEqual([ids[0], other, elsewhere, last].sort())
    }
  })

  it('holds for scheduled messages too', async () => {
    const adapter = new ScriptedAdapter()
    const first = await publishOnce('later', 300)
    expect(await publishOnce('later', 100)).toBe(first)
    expect(await publishOnce('later')).toBe(first)
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 1)
    expect(await publishOnce('later')).toBe(first)
    const last = await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.ids().includes(last))
    expect(adapter.ids()).toEqual([first, last])
  })
})
