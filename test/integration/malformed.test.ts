import { describe, expect, it } from 'vitest'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { down, delivered, parkedStates, useDispatching } from './dispatching-fixture.js'

describe.each(['pg18', 'pg15'] as const)('what somebody wrote into the log by hand, on %s', (server) => {
  const { pool, start } = useDispatching(server)

  const insert = async (columns: string, values: string): Promise<void> => {
    await pool().query(`insert into waybill.messages (id, ${columns}) values (gen_random_uuid(), ${values})`)
  }
  const parked = async (): Promise<unknown[]> =>
    (await pool().query<object>('select state, error_code, error from waybill.deliveries order by seq')).rows

  it.each([
    ['a topic that is none', 'topic, payload', `'order created', '1'`, /^its topic/],
    ['a topic that is too long', 'topic, payload', `repeat('a', 256), '1'`, /^its topic/],
    ['a key with a control character', 'topic, payload, key', `'order.created', '1', E'a\\nb'`, /^its key/],
    ['an empty key', 'topic, payload, key', `'order.created', '1', ''`, /^its key/],
    ['headers that are a list', 'topic, payload, headers', `'order.created', '1', '["a"]'`, /^its headers/],
    ['a header that is a number', 'topic, payload, headers', `'order.created', '1', '{"a":1}'`, /^its headers/],
    ['a header that is no name', 'topic, payload, headers', `'order.created', '1', '{"A b":"1"}'`, /^its headers/],
  ])('%s is dead, says why, and no adapter sees it', async (_, columns, values, why) => {
    const adapter = new ScriptedAdapter()
    await insert(columns, values)
    const good = await publish(pool(), 'order.created', {})
    await start({ destinations: { crm: { adapter, patterns: ['**'] } } })
    await waitFor(() => adapter.delivered.length === 1)
    expect(adapter.ids()).toEqual([good])
    await waitFor(async () => (await parked()).length === 1)
    expect(await parked()).toEqual([
      { state: 'dead', error_code: 'MALFORMED', error: expect.stringMatching(why) as string },
    ])
  })

  it('holds its key like any other that is dead, and does not pass for an answer of a destination that is down', async () => {
    const adapter = new ScriptedAdapter()
    adapter.answer = () => down
    const first = await publish(pool(), 'order.created', {})
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.attempts.length >= 2)
    await insert('topic, payload, key, headers', `'order.created', '1', 'k', '[]'`)
    await publish(pool(), 'order.created', {}, { key: 'k' })
    const other = await publish(pool(), 'order.created', {})
    const before = adapter.attempts.length
    await waitFor(() => adapter.attempts.length >= before + 3)
    expect(adapter.delivered).toEqual([])
    adapter.answer = () => delivered
    await waitFor(() => adapter.delivered.length === 2)
    expect(adapter.ids().sort()).toEqual([first, other].sort())
    await waitFor(async () => (await parkedStates(pool())).join() === 'dead,held')
  })
})
