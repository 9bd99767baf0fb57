import { describe, expect, it } from 'vitest'
import type { DeliverySettings } from '../../src/core/delivery-settings.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { useDispatching } from './dispatching-fixture.js'

describe.each(['pg18', 'pg15'] as const)('a new destination on %s', (server) => {
  const { pool, start } = useDispatching(server)

  const publishSome = async (n: number): Promise<string[]> => {
    const ids: string[] = []
    for (let i = 0; i < n; i++) ids.push(await publish(pool(), 'order.created', { i }, { key: `k${i % 3}` }))
    return ids
  }

  /** Deploys the first destination and stops; then some are published, the second is added, and some more. */
  const addLater = async (
    from: DeliverySettings['from'],
    between: () => Promise<void> = async () => undefined,
  ): Promise<{ before: string[]; after: string[]; adapter: ScriptedAdapter }> => {
    const first = { adapter: new ScriptedAdapter() }
    const dispatcher = await start({ destinations: { first } })
    const before = await publishSome(20)
    await waitFor(() => first.adapter.delivered.length >= 20)
    await dispatcher.stop()
    await between()
    const adapter = new ScriptedAdapter()
    await start({ destinations: { first, second: { adapter, settings: { from } } } })
    const after = await publishSome(10)
    await waitFor(() => adapter.ids().includes(after.at(-1) as string) && adapter.delivered.length >= 10)
    return { before, after, adapter }
  }

  it('in the first configuration gets all that is there, by default', async () => {
    const before = await publishSome(20)
    const adapter = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter, settings: { from: undefined } } } })
    await waitFor(() => adapter.delivered.length >= 20)
    expect(new Set(adapter.ids())).toEqual(new Set(before))
  })

  it('in a later configuration gets what is published from then on, by default', async () => {
    const { after, adapter } = await addLater(undefined)
    expect(new Set(adapter.ids())).toEqual(new Set(after))
    expect(adapter.delivered.length).toBe(10)
  })

  it.each([
    ['earliest', 30],
    ['latest', 10],
  ] as const)('from %s gets %i messages, each once', async (from, n) => {
    const { before, after, adapter } = await addLater(from)
    await waitFor(() => adapter.delivered.length >= n)
    expect(new Set(adapter.ids())).toEqual(new Set(n === 10 ? after : [...before, ...after]))
    expect(adapter.delivered.length).toBe(n)
  })

  it('from a date gets what was published then and later, and nothing before', async () => {
    await publishSome(5)
    const first = { adapter: new ScriptedAdapter() }
    const dispatcher = await start({ destinations: { first } })
    await waitFor(() => first.adapter.delivered.length >= 5)
    await dispatcher.stop()
    const date = await boundary()
    const since = await publishSome(7)
    const adapter = new ScriptedAdapter()
    await start({ destinations: { first, second: { adapter, settings: { from: date } } } })
    await waitFor(() => adapter.delivered.length >= 7)
    expect(new Set(adapter.ids())).toEqual(new Set(since))
  })

  it('from a date gets what a transaction published after it and has not committed yet', async () => {
    const first = { adapter: new ScriptedAdapter() }
    const dispatcher = await start({ destinations: { first } })
    await publishSome(3)
    await waitFor(() => first.adapter.delivered.length >= 3)
    await dispatcher.stop()
    const date = await boundary()
    const client = await pool().connect()
    try {
      await client.query('begin')
      const open = await publish(client, 'order.created', {})
      const since = await publishSome(4)
      const adapter = new ScriptedAdapter()
      await start({ destinations: { first, second: { adapter, settings: { from: date } } } })
      await waitFor(() => adapter.delivered.length >= 4)
      await client.query('commit')
      await waitFor(() => adapter.delivered.length >= 5)
      expect(new Set(adapter.ids())).toEqual(new Set([...since, open]))
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  it('from latest gets what an open transaction had published before it came', async () => {
    const client = await pool().connect()
    try {
      let open: string | undefined
      const { after, adapter } = await addLater('latest', async () => {
        await client.query('begin')
        open = await publish(client, 'order.created', {})
      })
      await client.query('commit')
      await waitFor(() => adapter.delivered.length >= 11)
      expect(new Set(adapter.ids())).toEqual(new Set([...after, open]))
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  /** A time, by the database's clock, between what was published so far and what comes. */
  async function boundary(): Promise<Date> {
    const { rows } = await pool().query<{ at: Date }>(`select clock_timestamp() + interval '5 ms' as at`)
    const at = rows[0]?.at as Date
    await waitFor(
      async () =>
        (
          await pool().query<{ past: boolean }>(
            `select clock_timestamp() > $1::timestamptz + interval '2 ms' as past`,
            [at],
          )
        ).rows[0]?.past,
    )
    return at
  }
})
