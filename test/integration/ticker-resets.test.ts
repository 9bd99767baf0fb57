import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { afterEach, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { glance, takeTick } from '../../src/outbox/tick.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter } from '../support/dispatching.js'
import { nonceOf } from '../support/incarnation.js'
import { waitFor } from '../support/wait-for.js'
import { useDispatching } from './dispatching-fixture.js'

/** A pool that gives no connection before it is let. */
function gated(pool: pg.Pool): { pool: pg.Pool; asked: () => boolean; close: () => void; open: () => void } {
  let gate: Promise<void> | undefined
  let open = (): void => undefined
  let asked = false
  const connect = async (): Promise<pg.PoolClient> => {
    asked = true
    await gate
    return pool.connect()
  }
  return {
    pool: new Proxy(pool, {
      get(target, name) {
        const value: unknown = name === 'connect' ? connect : Reflect.get(target, name)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    }),
    asked: () => asked,
    close: () => {
      asked = false
      gate = new Promise((resolve) => (open = resolve))
    },
    open: () => open(),
  }
}

describe.each(['pg18', 'pg15'] as const)('a ticker whose server becomes another, on %s', (server) => {
  const database = useDatabase({ server })
  const tickers: Ticker[] = []
  afterEach(() => Promise.all(tickers.splice(0).map((ticker) => ticker.stop())))

  /** What a promoted stand-by that lagged is like: another incarnation, and a log that is shorter. */
  async function promoted(): Promise<void> {
    const { pool } = database()
    await pool.query(
      `truncate waybill.incarnations, waybill.messages; select setval('waybill.message_seq', 20); insert into waybill.incarnation (nonce) values ('${randomUUID()}')`,
    )
    await publish(pool, 'order.created', {})
  }

  async function ahead(): Promise<{ ticker: Ticker; gate: ReturnType<typeof gated> }> {
    const { pool } = database()
    await nonceOf(pool)
    await pool.query(`select waybill.publish('order.created', '{}') from generate_series(1, 400)`)
    const gate = gated(pool)
    const ticker = new Ticker(gate.pool, systemClock)
    tickers.push(ticker)
    expect((await ticker.fresh()).floor).toBeGreaterThanOrEqual(400)
    return { ticker, gate }
  }

  it('takes a tick again when it is reset while that waits for its connection', async () => {
    const { ticker, gate } = await ahead()
    gate.close()
    const taking = ticker.fresh()
    await waitFor(() => gate.asked())
    ticker.reset()
    await promoted()
    gate.open()
    expect((await taking).floor).toBe(21)
    expect(ticker.latest?.floor).toBe(21)
  })

  it('carries no floor to another incarnation, though it heard of none', async () => {
    const { ticker, gate } = await ahead()
    gate.close()
    const taking = ticker.fresh()
    await waitFor(() => gate.asked())
    await promoted()
    gate.open()
    expect((await taking).floor).toBe(21)
    ticker.noteRead(await ticker.fresh(), 21)
    expect((await ticker.fresh()).floor).toBe(21)
  })

  it('lets no look of another server hide that there is something new', async () => {
    const { ticker } = await ahead()
    ticker.start()
    const seen = ticker.latest?.number as number
    const next = ticker.next(seen, AbortSignal.timeout(10_000))
    // as far as the sequence and the snapshot go, nothing has moved
    await database().pool.query(`update waybill.incarnations set nonce = gen_random_uuid(), xid = pg_current_xact_id()`)
    expect((await next).number).toBeGreaterThan(seen)
  })

  it('hands on what a notification asked for, whether or not the sequence seems to have moved', async () => {
    const { ticker } = await ahead()
    ticker.start()
    ticker.setListening(true)
    const stopped = new AbortController()
    let handed = ticker.latest?.number as number
    // as a lane does; transactions of other databases end now and then, and are handed on too
    const lane = (async () => {
      for (;;) handed = (await ticker.next(handed, stopped.signal)).number
    })().catch(() => undefined)
    await waitFor(() => ticker.asleep)
    const before = handed
    ticker.notify('1')
    await waitFor(() => handed > before, { what: 'the tick' })
    stopped.abort()
    await lane
  })

  it('rejects, and reads nothing, when the sequence has gone back', async () => {
    const { ticker } = await ahead()
    const { drawn } = await ticker.fresh()
    await database().pool.query(`select setval('waybill.message_seq', $1)`, [drawn - 5])
    await expect(ticker.fresh()).rejects.toMatchObject({ code: 'WAYBILL_SEQUENCE_BEHIND' })
    expect(ticker.latest).toBeUndefined()
    ticker.reset()
    await expect(ticker.fresh()).rejects.toMatchObject({ code: 'WAYBILL_SEQUENCE_BEHIND' })
    ticker.forgetReached()
    expect((await ticker.fresh()).drawn).toBe(drawn - 5)
  })
})

describe.each(['pg18', 'pg15'] as const)("what was drawn of the log's sequence, on %s", (server) => {
  it('is asked for with the lock of its page: a look without it is up to 32 too high now and then', async () => {
    const { name, pool, url } = await createTestDatabase({ server })
    await pool.query(`create schema said;
      create function said.pg_sequence_last_value(sequence regclass) returns bigint language sql as 'select 7::bigint'`)
    await pool.query(`alter database ${name} set search_path = said, pg_catalog`)
    await pool.query(`select waybill.publish('order.created', '{}') from generate_series(1, 40)`)
    const saying = new pg.Pool({ connectionString: url })
    try {
      expect(await takeTick(saying, 0)).toMatchObject({ drawn: 7, ceiling: 40 })
      expect(await glance(saying)).toMatchObject({ drawn: 7 })
    } finally {
      await saying.end()
    }
  })

  it('is one less than what a sequence that was set anew gives first', async () => {
    const { pool } = await createTestDatabase({ server })
    expect(await takeTick(pool, 0)).toMatchObject({ drawn: 0, ceiling: 0 })
    await pool.query(`select setval('waybill.message_seq', 50, false)`)
    expect(await takeTick(pool, 0)).toMatchObject({ drawn: 49, ceiling: 49 })
    await publish(pool, 'order.created', {})
    expect(await glance(pool)).toMatchObject({ drawn: 50 })
  })
})

describe('a sequence that is set back to above all floors, and below what was drawn', () => {
  const { pool, start } = useDispatching()

  it('hides nothing: what is published then arrives before it has come as far again', async () => {
    const adapter = new ScriptedAdapter()
    const dispatcher = await start({ destinations: { crm: { adapter } } })
    await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.delivered.length === 1)
    await pool().query(`select nextval('waybill.message_seq') from generate_series(1, 900)`)
    await publish(pool(), 'order.created', {})
    await waitFor(() => adapter.delivered.length === 2)
    await waitFor(() => dispatcher.asleep)
    const { rows } = await pool().query<{ seq: string }>('select max(seq) as seq from waybill.messages')
    // nothing is stored of it but the last message, which goes too: only the dispatcher knows how far it was
    await pool().query('delete from waybill.messages')
    await pool().query(`update waybill.deltas set to_floor = 1, from_floor = 1, ceiling = least(ceiling, 1)`)
    await pool().query(`update waybill.positions set after = 1`)
    await pool().query(`select setval('waybill.message_seq', $1)`, [Number(rows[0]?.seq) - 500])
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.push(await publish(pool(), 'order.created', { i }))
    await waitFor(() => ids.every((id) => adapter.ids().includes(id)), { what: 'what was published then' })
  })
})
