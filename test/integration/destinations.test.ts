import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import type { Adapter, DeliverContext, OutboundMessage } from '../../src/adapters/contract.js'
import { systemClock } from '../../src/core/clock.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { Upkeep } from '../../src/dispatcher/upkeep.js'
import { countUnrouted } from '../../src/outbox/unrouted.js'
import { takeTick } from '../../src/outbox/tick.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { count, delivered, down, memoryLogger, useDispatching } from './dispatching-fixture.js'

describe.each(['pg18', 'pg15'] as const)('routes on %s', (server) => {
  const { pool, start } = useDispatching(server)

  it('bring each message to every destination whose pattern it fits, once', async () => {
    const patterns = {
      all: ['**'],
      orders: ['order.*'],
      deep: ['order.**'],
      exact: ['order.created', 'invoice.paid'],
      both: ['order.*', 'order.created'],
      none: [],
    }
    const topics = ['order.created', 'order.line.added', 'order', 'invoice.paid', 'invoice', 'orders.created']
    const wanted = {
      all: topics,
      orders: ['order.created'],
      deep: ['order.created', 'order.line.added'],
      exact: ['order.created', 'invoice.paid'],
      both: ['order.created'],
      none: [],
    }
    const adapters = new Map(Object.keys(patterns).map((name) => [name, new ScriptedAdapter()]))
    const dispatcher = await start({
      destinations: Object.fromEntries(
        Object.entries(patterns).map(([name, p]) => [
          name,
          { adapter: adapters.get(name) as ScriptedAdapter, patterns: p },
        ]),
      ),
    })
    for (const topic of topics) await publish(pool(), topic, { topic })
    await dispatcher.drain()
    const got = Object.fromEntries([...adapters].map(([name, a]) => [name, a.delivered.map((m) => m.topic)]))
    expect(got).toEqual(wanted)
  })

  it('are not asked for a message that names its destinations', async () => {
    const [crm, bank, idle] = [new ScriptedAdapter(), new ScriptedAdapter(), new ScriptedAdapter()]
    const dispatcher = await start({
      destinations: {
        crm: { adapter: crm, patterns: ['**'] },
        bank: { adapter: bank, patterns: ['payment.*'] },
        idle: { adapter: idle, patterns: [] },
      },
    })
    const one = await publish(pool(), 'order.created', {}, { to: ['bank'] })
    const two = await publish(pool(), 'order.created', {}, { to: ['idle', 'crm'] })
    const routed = await publish(pool(), 'order.created', {})
    await dispatcher.drain()
    expect([crm.ids(), bank.ids(), idle.ids()]).toEqual([[two, routed], [one], [two]])
  })

  it('that want one message in a thousand get exactly theirs, and the database sends little else', async () => {
    await pool().query(
      `select waybill.publish(case when g % 1000 = 7 then 'rare.event' else 'order.created' end, json_build_object('n', g))
         from generate_series(1, 50000) g`,
    )
    const counted = countRows(new pg.Pool({ connectionString: databaseUrl(pool()), max: 8 }))
    const adapter = new ScriptedAdapter()
    const dispatcher = await start({
      pool: counted.pool,
      destinations: { crm: { adapter, patterns: ['rare.*'] } },
      pageSize: 1000,
    })
    await waitFor(() => adapter.delivered.length >= 50)
    await dispatcher.drain()
    expect(adapter.delivered.map(({ payload }) => (JSON.parse(payload) as { n: number }).n)).toEqual(
      Array.from({ length: 50 }, (_, i) => i * 1000 + 7),
    )
    // the first pages are read whole, to see how much of them is wanted
    expect(counted.rows()).toBeLessThan(5000)
    // and it goes back to whole pages when most is wanted
    await pool().query(`select waybill.publish('rare.event', '{}') from generate_series(1, 3000)`)
    await waitFor(() => adapter.delivered.length >= 3050)
    await dispatcher.stop()
    await counted.pool.end()
  })

  it('that nobody has leave a message unrouted, and that is counted by topic, once', async () => {
    const adapter = new ScriptedAdapter()
    const dispatcher = await start({ destinations: { crm: { adapter, patterns: ['order.*'] } } })
    for (let i = 0; i < 3; i++) await publish(pool(), 'lost.event', {})
    await publish(pool(), 'other.event', {})
    await publish(pool(), 'lost.event', {}, { to: ['crm'] })
    await publish(pool(), 'order.created', {})
    await dispatcher.drain()
    expect(adapter.delivered.map((m) => m.topic)).toEqual(['lost.event', 'order.created'])
    const { floor } = await takeTick(pool(), 0)
    expect(await countUnrouted(pool(), floor)).toBe(4)
    expect(await countUnrouted(pool(), floor)).toBe(0)
    await publish(pool(), 'lost.event', {})
    expect(await countUnrouted(pool(), (await takeTick(pool(), 0)).floor)).toBe(1)
    const { rows } = await pool().query(
      'select topic, sum(n)::int as n from waybill.unrouted group by topic order by topic',
    )
    expect(rows).toEqual([
      { topic: 'lost.event', n: 4 },
      { topic: 'other.event', n: 1 },
    ])
  })

  it('that nobody has are counted by upkeep up to the last, also where no tick came after it', async () => {
    const ticker = new Ticker(pool(), systemClock)
    await ticker.fresh()
    for (let i = 0; i < 3; i++) await publish(pool(), 'unwanted.event', {})
    const logger = memoryLogger()
    // the first pass at once, and no other
    let slept = 0
    const clock = {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(slept++ === 0 ? 0 : ms, signal),
    }
    const upkeep = new Upkeep({ pool: pool(), clock, logger, ticker, settings: {} })
    upkeep.start()
    try {
      await waitFor(() => logger.lines.some(({ fields }) => fields['unrouted'] === 3))
    } finally {
      await upkeep.stop()
    }
    expect(logger.lines.filter(({ level }) => level === 'error')).toEqual([])
  })
})

describe('a destination', () => {
  const { pool, start } = useDispatching()
  const lane = async (): Promise<{ state: string; kind: string | null; reason: string | null } | undefined> =>
    (
      await pool().query<{ state: string; kind: string | null; reason: string | null }>(
        'select state, pause_kind as kind, pause_reason as reason from waybill.lanes',
      )
    ).rows[0]

  it('gets payload, headers, key and time as they were published, byte for byte', async () => {
    const payloads = [
      '{ "a" :1.0,\n "b":"\\u0000\\"{,}" , "a": 2}',
      'null',
      '"é\\\\ \\ud83d\\ude00 😀"',
      '[12345678901234567890, 1e400, -0]',
      '  {}  ',
    ]
    const adapter = new ScriptedAdapter()
    await start({ destinations: { crm: { adapter } } })
    for (const payload of payloads) {
      await pool().query(
        `select waybill.publish('order.created', $1::json, key => 'k"1', headers => '{"x-a":"1,\\"2\\""}')`,
        [payload],
      )
    }
    await waitFor(() => adapter.delivered.length >= payloads.length)
    expect(adapter.delivered.map(({ payload }) => payload)).toEqual(payloads)
    const { rows } = await pool().query<{ at: Date }>('select created_at as at from waybill.messages order by seq')
    for (const [i, message] of adapter.delivered.entries()) {
      expect({ ...message.headers }).toEqual({ 'x-a': '1,"2"' })
      expect(message.key).toBe('k"1')
      expect(Math.abs(message.createdAt.getTime() - (rows[i]?.at.getTime() ?? 0))).toBeLessThan(2)
    }
  })

  it('that says it is misconfigured pauses its lane with that kind, others go on, and it goes on once it is mended', async () => {
    const adapter = new ScriptedAdapter()
    const other = new ScriptedAdapter()
    let state: 'wrong' | 'down' | 'fine' = 'down'
    adapter.answer = () =>
      state === 'fine'
        ? delivered
        : state === 'down'
          ? down
          : { kind: 'misconfigured', failure: { code: 'HTTP_401', message: 'who are you?' } }
    await start({ destinations: { crm: { adapter, patterns: ['crm.*'] }, other: { adapter: other } } })
    await publish(pool(), 'crm.event', {})
    await waitFor(() => other.delivered.length >= 1)
    const crm = async () =>
      (
        await pool().query(
          `select state, pause_kind as kind, split_part(pause_reason, ';', 1) as reason from waybill.lanes where destination = 'crm'`,
        )
      ).rows[0] as unknown
    await eventually(async () => expect(await crm()).toMatchObject({ state: 'paused', kind: 'outage' }))
    // the outage ends in something that waiting does not mend: people must be told the one that is true now
    state = 'wrong'
    await eventually(async () =>
      expect(await crm()).toEqual({ state: 'paused', kind: 'misconfigured', reason: 'HTTP_401: who are you?' }),
    )
    expect(await count(pool(), 'attempts')).toBe(0)
    state = 'fine'
    await waitFor(() => adapter.delivered.length >= 1)
    await eventually(async () => expect(await crm()).toEqual({ state: 'active', kind: null, reason: null }))
  })

  it('that throttles is left alone for as long as it asks', async () => {
    const adapter = new ScriptedAdapter({ maxBatch: 1, concurrency: 1 })
    const times: number[] = []
    adapter.answer = () => {
      times.push(performance.now())
      if (times.length > 1) return delivered
      return { kind: 'pause', failure: { code: 'HTTP_429', message: 'slow down' }, retryAfterMs: 1200 }
    }
    for (let i = 0; i < 5; i++) await publish(pool(), 'order.created', { i }, { key: `k${i}` })
    await start({ destinations: { crm: { adapter } } })
    await eventually(async () => expect(await lane()).toMatchObject({ kind: 'throttled' }))
    await waitFor(() => adapter.delivered.length >= 5)
    expect((times[1] ?? 0) - (times[0] ?? 0)).toBeGreaterThanOrEqual(1190)
    expect(await count(pool(), 'attempts')).toBe(0)
  })

  it('gets 200 payloads of 1 MiB without more than the window of them in memory', async () => {
    // of digits that do not compress; and sent to the database once
    await pool().query(
      `select waybill.publish('big.one', ('"' || lpad(g::text, 8, '0') || $1::text || '"')::json) from generate_series(0, 199) g`,
      [randomBytes(512 * 1024 - 8).toString('hex')],
    )
    const adapter = new CountingAdapter()
    const dispatcher = await start({ destinations: { crm: { adapter, settings: { window: 2000 } } }, pageSize: 1000 })
    let most = 0
    await waitFor(() => {
      most = Math.max(most, dispatcher.lanes()[0]?.status?.window ?? 0)
      return adapter.numbers.length === 200
    })
    expect(adapter.numbers).toEqual(Array.from({ length: 200 }, (_, i) => i))
    // 32 MiB, and the page that passes them
    expect(most).toBeLessThanOrEqual(32 + 9)
    expect(most).toBeGreaterThan(1)
  })

  it('that the configuration does not name waits: nobody takes its lanes', async () => {
    const [crm, bank] = [new ScriptedAdapter(), new ScriptedAdapter()]
    const first = await start({ destinations: { crm: { adapter: crm }, bank: { adapter: bank } } })
    await first.stop()
    await publish(pool(), 'order.created', {})
    const second = await start({ destinations: { crm: { adapter: crm } } })
    await waitFor(() => crm.delivered.length >= 1)
    await second.drain()
    const { rows } = await pool().query(
      `select l.destination, d.configured, l.holder is not null as held from waybill.lanes l
         join waybill.destinations d on d.name = l.destination order by 1`,
    )
    expect(rows).toEqual([
      { destination: 'bank', configured: false, held: false },
      { destination: 'crm', configured: true, held: true },
    ])
    await second.stop()
    // named again, it goes on where it stood
    await start({ destinations: { crm: { adapter: crm }, bank: { adapter: bank, settings: { from: 'latest' } } } })
    await waitFor(() => bank.delivered.length >= 1)
  })
})

/** Keeps of each message its number alone. */
class CountingAdapter implements Adapter {
  readonly kind = 'counting'
  readonly capabilities = { ordered: false, maxBatch: 1, concurrency: 1, transactional: false }
  readonly numbers: number[] = []

  async deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 1))
    for (const [index, message] of batch.entries()) {
      this.numbers.push(Number(message.payload.slice(1, 9)))
      context.settle(index, delivered)
    }
  }

  async close(): Promise<void> {}
}

const databaseUrl = (pool: pg.Pool): string => pool.options.connectionString as string

/** A pool that counts the rows of the log which come through it. */
function countRows(pool: pg.Pool): { readonly pool: pg.Pool; rows(): number } {
  let rows = 0
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<pg.QueryResult>
  pool.on('error', () => undefined)
  pool.query = (async (...args: unknown[]) => {
    const result = await query(...args)
    const [config] = args as [{ text?: string }]
    if (config.text?.includes('One page of what became visible')) rows += result.rowCount ?? 0
    return result
  }) as typeof pool.query
  return { pool, rows: () => rows }
}
