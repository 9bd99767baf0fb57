import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { count, useDispatching } from './dispatching-fixture.js'

interface Later {
  readonly inMs: number
  readonly key?: string
  readonly topic?: string
}

/** Schedules by the database's clock; resolves to the id. */
async function schedule(db: Pick<pg.Pool, 'query'>, { inMs, key, topic = 'order.reminder' }: Later): Promise<string> {
  const { rows } = await db.query<{ id: string }>(
    `select waybill.publish($1::text, '{}', key => $2::text, run_at => clock_timestamp() + $3::float8 * interval '1 ms') as id`,
    [topic, key ?? null, inMs],
  )
  return rows[0]?.id as string
}

describe.each(['pg18', 'pg15'] as const)('scheduled messages on %s', (server) => {
  const { database, pool, start } = useDispatching(server)

  /** When it arrived, by the clock of the database that it was scheduled by. */
  const arrivals = (adapter: ScriptedAdapter): Map<string, Promise<number>> => {
    const at = new Map<string, Promise<number>>()
    adapter.answer = ({ id }) => {
      const now = pool().query<{ now: number }>('select (extract(epoch from clock_timestamp()) * 1000)::float8 as now')
      at.set(
        id,
        now.then(({ rows }) => rows[0]?.now ?? 0),
      )
      return { kind: 'delivered' }
    }
    return at
  }
  const soundAsleep = async (dispatcher: { asleep: boolean }): Promise<void> => {
    await waitFor(() => dispatcher.asleep)
  }

  it('are delivered at their time, whether the dispatcher is awake or asleep, and not before', async () => {
    const adapter = new ScriptedAdapter()
    const at = arrivals(adapter)
    const early = await schedule(pool(), { inMs: 1500 })
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    const due = async (id: string): Promise<number> =>
      (
        await pool().query<{ at: number }>(
          'select (extract(epoch from run_at) * 1000)::float8 as at from waybill.scheduled where id = $1',
          [id],
        )
      ).rows[0]?.at as number
    const earlyAt = await due(early)
    await waitFor(() => adapter.delivered.length >= 1)
    expect(await at.get(early)).toBeGreaterThanOrEqual(earlyAt)
    await soundAsleep(dispatcher)
    const late = await schedule(pool(), { inMs: 2500 })
    const lateAt = await due(late)
    await waitFor(() => adapter.delivered.length >= 2)
    expect(adapter.ids()).toEqual([early, late])
    expect(await at.get(late)).toBeGreaterThanOrEqual(lateAt)
    expect(await count(pool(), 'scheduled')).toBe(0)
  })

  it('that are due together arrive in the order of their times for each key, and before what is published then', async () => {
    const adapter = new ScriptedAdapter()
    const client = await pool().connect()
    const ids: string[] = []
    try {
      await client.query('begin')
      // clock_timestamp() moves between them: now() does not
      for (const inMs of [300, 100, 200, 200, 400]) {
        const { rows } = await client.query<{ id: string }>(
          `select waybill.publish('order.reminder', '{}', key => 'one', run_at => now() + $1::float8 * interval '1 ms' + interval '1 s') as id`,
          [inMs],
        )
        ids.push(rows[0]?.id as string)
      }
      await client.query('commit')
    } finally {
      client.release()
    }
    await waitFor(async () => (await count(pool(), 'scheduled', 'run_at > clock_timestamp()')) === 0)
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 5)
    ids.push(await publish(pool(), 'order.created', {}, { key: 'one' }))
    await waitFor(() => adapter.delivered.length >= 6)
    expect(adapter.ids()).toEqual([1, 2, 3, 0, 4, 5].map((i) => ids[i]))
  })

  it('are never delivered once they were cancelled; what was delivered cannot be cancelled', async () => {
    const adapter = new ScriptedAdapter()
    const cancelled = await schedule(pool(), { inMs: 400 })
    const kept = await schedule(pool(), { inMs: 500 })
    const cancel = async (id: string): Promise<unknown> =>
      (await pool().query('select waybill.cancel($1) as done', [id])).rows[0]
    expect(await cancel(cancelled)).toEqual({ done: true })
    expect(await cancel(cancelled)).toEqual({ done: false })
    await start({ destinations: { crm: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 1)
    expect(adapter.ids()).toEqual([kept])
    expect(await cancel(kept)).toEqual({ done: false })
    expect(await count(pool(), 'messages')).toBe(1)
  })

  it('of a transaction that is rolled back, or cancelled in it, are never delivered', async () => {
    const adapter = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter } } })
    const client = await pool().connect()
    try {
      await client.query('begin')
      await schedule(client, { inMs: 50 })
      await client.query('rollback')
      await client.query('begin')
      const id = await schedule(client, { inMs: 50 })
      await client.query('select waybill.cancel($1)', [id])
      await client.query('commit')
    } finally {
      client.release()
    }
    const marker = await schedule(pool(), { inMs: 100 })
    await waitFor(() => adapter.delivered.length > 0)
    expect(adapter.ids()).toEqual([marker])
  })

  it('that a transaction commits after their time arrive at once, even when everybody sleeps and has looked since', async () => {
    const adapter = new ScriptedAdapter()
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    const client = await pool().connect()
    try {
      await client.query('begin')
      const id = await schedule(client, { inMs: 200 })
      // another one is scheduled, staged and delivered meanwhile: everything up to then has been looked at
      const other = await schedule(pool(), { inMs: 600 })
      await waitFor(() => adapter.ids().includes(other))
      await soundAsleep(dispatcher)
      await client.query('commit')
      const from = performance.now()
      await waitFor(() => adapter.ids().includes(id))
      expect(performance.now() - from).toBeLessThan(9000) // who does not know of it finds it after 10 s
    } finally {
      client.release()
    }
  })

  it('need no notifications', async () => {
    const adapter = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter } }, listen: false })
    const id = await schedule(pool(), { inMs: 300 })
    await waitFor(() => adapter.ids().includes(id))
  })

  it('are moved once, by whichever dispatcher is there', async () => {
    const one = new ScriptedAdapter()
    const two = new ScriptedAdapter()
    const settings = { shards: 2 }
    await start({ destinations: { crm: { adapter: one, settings } } })
    await start({ destinations: { crm: { adapter: two, settings } } })
    const client = new pg.Client({ connectionString: database().url })
    await client.connect()
    try {
      await client.query(
        `select waybill.publish('order.reminder', '{}', key => 'k' || g, run_at => clock_timestamp() + g % 7 * interval '100 ms')
           from generate_series(1, 700) g`,
      )
    } finally {
      await client.end()
    }
    await waitFor(() => one.delivered.length + two.delivered.length >= 700)
    expect(new Set([...one.ids(), ...two.ids()]).size).toBe(700)
    expect(await count(pool(), 'messages')).toBe(700)
    expect(await count(pool(), 'scheduled')).toBe(0)
  })
})
