import type pg from 'pg'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { inTransaction } from '../../src/db/transaction.js'
import { changeShards } from '../../src/outbox/reshard.js'
import { spawnChild, type TestChild } from '../support/children.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { ScriptedAdapter, publish, startDispatcher } from '../support/dispatching.js'
import { startHttpReceiver } from '../support/http-receiver.js'
import { waitFor } from '../support/wait-for.js'

const leaseMs = 2000
/** One publisher for each key, so that its messages have an order to keep; it goes on until it is told to stop. */
class KeyedPublishers {
  readonly published = new Map<string, string[]>()
  #stopped = false
  readonly #done: Promise<unknown>

  constructor(pool: pg.Pool, keys: readonly string[], pauseMs = 15) {
    this.#done = Promise.all(
      keys.map(async (key) => {
        const ids: string[] = []
        this.published.set(key, ids)
        for (let version = 1; !this.#stopped; version++) {
          ids.push(await publish(pool, 'order.changed', { key, version }, { key }))
          await new Promise((resolve) => setTimeout(resolve, pauseMs))
        }
      }),
    )
  }

  get count(): number {
    return [...this.published.values()].reduce((sum, ids) => sum + ids.length, 0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#done
  }

  /** Nothing is missing, and first deliveries of each key came in the order in which they were published. */
  check(received: readonly string[]): void {
    const firsts = [...new Set(received)]
    const at = new Map(firsts.map((id, index) => [id, index]))
    for (const [key, ids] of this.published) {
      expect(
        ids.filter((id) => !at.has(id)),
        `missing of ${key}`,
      ).toEqual([])
      const order = [...ids].sort((a, b) => (at.get(a) as number) - (at.get(b) as number))
      expect(order, `first deliveries of ${key}`).toEqual(ids)
    }
    expect(firsts.length).toBe(this.count)
  }
}

const names = (n: number): string[] => Array.from({ length: n }, (_, i) => `key-${i}`)

const openLanes = async (pool: pg.Pool): Promise<{ shards: number; lanes: number }> => {
  const { rows } = await pool.query<{ shards: number; lanes: number }>(
    `select max(shards) as shards, count(*)::int as lanes from waybill.lanes where state in ('active', 'paused')`,
  )
  return rows[0] as { shards: number; lanes: number }
}

const becomes = (pool: pg.Pool, shards: number): Promise<unknown> =>
  waitFor(
    async () => {
      const open = await openLanes(pool)
      return open.shards === shards && open.lanes === shards
    },
    { what: `${shards} shards` },
  )

describe('the number of shards changes', () => {
  let database: TestDatabase
  let publishers: KeyedPublishers | undefined
  const publishOn = (pool: pg.Pool, keys: number): KeyedPublishers =>
    (publishers = new KeyedPublishers(pool, names(keys)))
  beforeEach(async () => {
    database = await createTestDatabase()
    return async () => {
      await publishers?.stop()
      await database.drop()
    }
  })

  const start = (adapter: ScriptedAdapter, shards: number, generation: number): Promise<Dispatcher> =>
    startDispatcher({
      pool: database.pool,
      listenUrl: database.url,
      leaseMs: 10_000, // none ends on a slow machine: what was under way would be sent twice
      destinations: { crm: { adapter, settings: { shards, maxAttempts: 100 } } },
      fingerprint: `shards ${shards} as ${generation}`,
      generation,
    })

  it('from 1 to 4 to 2 while keys are published and one is held behind what fails: nothing lost, every key in order', async () => {
    const { pool } = database
    const adapter = new ScriptedAdapter()
    let failing = true
    const no: Outcome = { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }
    adapter.answer = async ({ key }) => {
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
      return failing && key === 'key-3' ? no : { kind: 'delivered' }
    }
    const running = [await start(adapter, 1, 1), await start(adapter, 1, 1)]
    const publishers = publishOn(pool, 12)
    await waitFor(() => adapter.delivered.length > 100)
    const held = async (): Promise<number> =>
      (await pool.query(`select from waybill.deliveries where key = 'key-3' and state = 'held'`)).rowCount ?? 0
    await waitFor(async () => (await held()) > 0)

    running.push(await start(adapter, 4, 2))
    await becomes(pool, 4)
    const before = adapter.delivered.length
    await waitFor(() => adapter.delivered.length > before + 100)
    expect(
      adapter.delivered.filter((m) => m.key === 'key-3'),
      'what is held stays held',
    ).toEqual([])
    expect(await held()).toBeGreaterThan(0)
    const { rows } = await pool.query(
      `select distinct l.state, l.shards from waybill.deliveries d join waybill.lanes l on l.id = d.lane_id`,
    )
    expect(rows).toEqual([{ state: 'active', shards: 4 }])

    // lanes of two dispatchers stand at ticks of their own: only a barrier brings them together
    running.push(await start(adapter, 4, 2))
    const twoEach = async (): Promise<boolean> => {
      const { rows } = await pool.query<{ lanes: number }>(
        `select count(*)::int as lanes from waybill.lanes where state = 'active' and holder is not null group by dispatcher`,
      )
      return rows.length === 2 && rows.every(({ lanes }) => lanes === 2)
    }
    await waitFor(twoEach, { what: 'two lanes held by each of two' })
    // a lane that is handed over sends again what was delivered ahead of what had not been sent: before what comes from now on
    const handedOver = new Map([...publishers.published].map(([key, ids]) => [key, ids.length]))
    const arrived = new Set<string>()
    await waitFor(
      () => {
        for (const id of adapter.ids()) arrived.add(id)
        const goesOn = ([key, ids]: [string, string[]]): boolean => arrived.has(ids[handedOver.get(key) ?? 0] ?? '')
        return [...publishers.published].filter(([key]) => key !== 'key-3').every(goesOn)
      },
      { what: 'all lanes went on where they were handed over' },
    )
    const twice = (): number => adapter.ids().length - new Set(adapter.ids()).size
    const sentTwice = twice()
    // as deploy asks for it, but with no newcomer that would have lanes handed over
    await inTransaction(pool, (client) => changeShards(client, 'crm', 4, 2))
    await becomes(pool, 2)
    expect(twice(), 'the barrier sends nothing twice').toBe(sentTwice)
    const { rows: barriers } = await pool.query<{ taken: boolean }>(
      'select barrier_at is not null as taken from waybill.reshards order by id',
    )
    expect(barriers, 'one lane needs no barrier, lanes of two dispatchers do').toEqual([
      { taken: false },
      { taken: true },
    ])
    failing = false
    const then = adapter.delivered.length
    await waitFor(() => adapter.delivered.length > then + 100)
    await publishers.stop()
    await waitFor(() => new Set(adapter.ids()).size === publishers.count)
    await Promise.all(running.map((d) => d.stop({ drainMs: 5000 })))
    publishers.check(adapter.ids())
    const audit = await pool.query(
      `select target->>'from' as f, target->>'to' as t from waybill.audit where action = 'reshard' order by id`,
    )
    expect(audit.rows).toEqual([
      { f: '1', t: '4' },
      { f: '4', t: '2' },
    ])
  }, 240_000)

  it('is asked back before it is done: the old lanes go on', async () => {
    const { pool } = database
    const adapter = new ScriptedAdapter()
    let answers = true
    adapter.answer = () =>
      answers ? { kind: 'delivered' } : { kind: 'pause', failure: { code: 'HTTP_503', message: 'down' } }
    const running = [await start(adapter, 2, 1)]
    const publishers = publishOn(pool, 4)
    await waitFor(() => adapter.delivered.length > 20)
    answers = false
    await waitFor(async () => (await pool.query(`select from waybill.lanes where state = 'paused'`)).rowCount === 2)
    running.push(await start(adapter, 4, 2))
    expect((await pool.query(`select from waybill.lanes where state = 'closing'`)).rowCount).toBe(2)
    running.push(await start(adapter, 2, 3))
    expect((await pool.query(`select from waybill.reshards where outcome = 'cancelled'`)).rowCount).toBe(1)
    answers = true
    await publishers.stop()
    await waitFor(() => new Set(adapter.ids()).size === publishers.count)
    await Promise.all(running.map((d) => d.stop({ drainMs: 5000 })))
    expect(await openLanes(pool)).toEqual({ shards: 2, lanes: 2 })
    publishers.check(adapter.ids())
  }, 240_000)

  it('while dispatchers are killed at every step: nothing lost, first deliveries in order', async () => {
    const { pool } = database
    const receiver = await startHttpReceiver({ status: 204 })
    const received = (): string[] => receiver.received().map((r) => String(r.headers['webhook-id']))
    const launch = async (shards: number): Promise<TestChild<unknown>> => {
      const settings = { url: database.url, receiver: receiver.url, leaseMs, shards }
      const child = spawnChild(new URL('dispatcher-child.ts', import.meta.url).pathname, {
        env: { WAYBILL_CHILD: JSON.stringify(settings) },
      })
      await child.waitForMessage(() => true)
      return child
    }
    const [first, second] = await Promise.all([launch(2), launch(2)])
    const publishers = publishOn(pool, 16)
    await receiver.waitForCount(100)
    // killed as soon as the change is asked for; the next when one lane rests, or the last when it is all over
    const third = await launch(5)
    await first.kill('SIGKILL')
    await waitFor(
      async () => {
        const { rowCount } = await pool.query(
          `select from waybill.lanes where rests union all select from waybill.reshards where ended_at is not null`,
        )
        return rowCount !== 0
      },
      { intervalMs: 2 },
    )
    await second.kill('SIGKILL')
    await launch(5)
    await becomes(pool, 5)
    await third.kill('SIGKILL')
    const before = receiver.received().length
    await receiver.waitForCount(before + 200)
    await publishers.stop()
    await waitFor(() => new Set(received()).size === publishers.count)
    publishers.check(received())
    await receiver.close()
  }, 300_000)
})
