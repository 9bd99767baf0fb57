import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { takeTick, whenDurable } from '../../src/outbox/tick.js'
import { isVisibleIn, parseSnapshot } from '../../src/outbox/snapshot.js'
import { useDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

/** What somebody else does at a moment within a tick, which is one round trip otherwise. */
interface Meanwhile {
  /** After the probe's transaction, before the snapshot. */
  beforeSnapshot?: () => Promise<unknown>
  /** After the snapshot, before the look at the sequence. */
  afterSnapshot?: () => Promise<unknown>
  /** WAL position behind the commit of the tick's own transaction. */
  inserted?: string
}

/** The pool, but for how its clients query. */
function querying(
  pool: pg.Pool,
  by: (client: pg.PoolClient) => (query: { text: string }) => Promise<unknown>,
): pg.Pool {
  return new Proxy(pool, {
    get(target, property) {
      if (property !== 'connect') return bound(target, property)
      return async () => {
        const client = await target.connect()
        return new Proxy(client, { get: (inner, name) => (name === 'query' ? by(client) : bound(inner, name)) })
      }
    },
  })
}

/** A pool for ticks that take their time. What it answers is what PostgreSQL answers, in the order it is asked. */
function slowly(pool: pg.Pool, meanwhile: Meanwhile): pg.Pool {
  return querying(pool, (client) => inSteps(client, meanwhile))
}

function bound(target: object, property: string | symbol): unknown {
  const value: unknown = Reflect.get(target, property)
  return typeof value === 'function' ? (value.bind(target) as unknown) : value
}

function inSteps(client: pg.PoolClient, meanwhile: Meanwhile) {
  return async ({ text }: { text: string }): Promise<unknown> => {
    const results: pg.QueryArrayResult[] = []
    const statements = text.split(';')
    const last = statements.pop() as string
    for (const text of statements) {
      // alone it would be in no transaction; no deployment is about
      const statement = text.includes('lock table') ? 'select' : text
      results.push(await client.query({ text: statement, rowMode: 'array' }))
    }
    await meanwhile.beforeSnapshot?.()
    const seen = await client.query({ text: last, rowMode: 'array' })
    if (meanwhile.afterSnapshot) {
      await meanwhile.afterSnapshot()
      const later = await client.query({ text: last, rowMode: 'array' })
      const [first, second] = [seen.rows[0] as unknown[], later.rows[0] as unknown[]]
      first[2] = second[2] // the sequence's value is read without a snapshot
    }
    meanwhile.inserted = (seen.rows[0] as string[])[3] as string
    return [...results, seen]
  }
}

describe.each(['pg18', 'pg15'] as const)('a tick on %s', (server) => {
  const database = useDatabase({ server })
  const pool = (): pg.Pool => database().pool

  /** Publishes and leaves the transaction open. */
  async function publishing(settings = ''): Promise<{ seq: number; xid: string; end: () => Promise<bigint> }> {
    const client = await pool().connect()
    await client.query(`begin; ${settings}`)
    const id = await publish(client, 'order.created', {})
    const { rows } = await client.query<{ seq: string; xid: string }>(
      'select seq::text, xid::text from waybill.messages where id = $1',
      [id],
    )
    return {
      seq: Number(rows[0]?.seq),
      xid: rows[0]?.xid as string,
      async end() {
        await client.query('commit')
        const lsn = await position(client, 'insert')
        client.release()
        return lsn
      },
    }
  }

  async function position(db: Pick<pg.Pool, 'query'>, which: 'insert' | 'flush'): Promise<bigint> {
    const { rows } = await db.query<{ at: string }>(
      `select (pg_current_wal_${which}_lsn() - '0/0'::pg_lsn)::text as at`,
    )
    return BigInt(rows[0]?.at as string)
  }

  async function bytesOf(lsn: string): Promise<bigint> {
    const { rows } = await pool().query<{ at: string }>(`select ($1::pg_lsn - '0/0'::pg_lsn)::text as at`, [lsn])
    return BigInt(rows[0]?.at as string)
  }

  it('has a floor below what commits between the probe and the snapshot', async () => {
    const open = await publishing()
    const tick = await takeTick(slowly(pool(), { beforeSnapshot: () => open.end() }), 0)
    expect(isVisibleIn(open.xid, parseSnapshot(tick.snapshot))).toBe(true)
    expect(tick.floor).toBeLessThan(open.seq)
    expect(tick.ceiling).toBeGreaterThanOrEqual(open.seq)
  })

  it('has a floor below what begins between the probe and the snapshot, and is unknown to it', async () => {
    let open: Awaited<ReturnType<typeof publishing>> | undefined
    const tick = await takeTick(slowly(pool(), { beforeSnapshot: async () => (open = await publishing()) }), 0)
    const { xid, seq } = open as NonNullable<typeof open>
    expect(isVisibleIn(xid, parseSnapshot(tick.snapshot))).toBe(false)
    expect(tick.floor).toBeLessThan(seq)
    await open?.end()
  })

  it('has the floor that it was given where it does without a probe, and sees all the same', async () => {
    const before = await publishing()
    await before.end()
    const { floor } = await takeTick(pool(), 0)
    const after = await publishing()
    await after.end()
    const tick = await takeTick(pool(), floor, false)
    expect(tick.floor).toBe(floor)
    expect(tick.drawn).toBeGreaterThanOrEqual(after.seq)
    expect(tick.ceiling).toBeGreaterThanOrEqual(after.seq)
    expect(isVisibleIn(after.xid, parseSnapshot(tick.snapshot))).toBe(true)
  })

  describe('of a dispatcher', () => {
    /** A ticker, and of the tick that was taken last: whether the log was probed, for each statement of it. */
    function watched(): { ticker: Ticker; probes: () => boolean[] } {
      const texts: string[] = []
      const watching = querying(pool(), (client) => (query) => {
        texts.push(query.text)
        return client.query(query)
      })
      const ticker = new Ticker(watching, systemClock)
      return { ticker, probes: () => texts.splice(0).map((text) => text.includes('waybill.messages')) }
    }

    const publishMany = (count: number): Promise<unknown> =>
      pool().query(`select waybill.publish('order.created', to_json(i)) from generate_series(1, ${count}) i`)
    const greatestSeq = async (): Promise<number> =>
      Number((await pool().query<{ max: string }>('select max(seq) from waybill.messages')).rows[0]?.max)

    it('probes the log at first, and then takes for a floor what lanes have read', async () => {
      const { ticker, probes } = watched()
      await publishMany(3)
      const first = await ticker.fresh()
      expect(probes()).toEqual([true])
      expect(first.floor).toBe(await greatestSeq())
      await publishMany(100)
      const second = await ticker.fresh()
      expect([second.floor, probes()]).toEqual([first.floor, [false]])
      const read = await greatestSeq()
      ticker.noteRead(second, read - 1)
      ticker.noteRead(second, read)
      ticker.noteRead(second, read - 2)
      expect([(await ticker.fresh()).floor, probes()]).toEqual([read, [false]])
    })

    it('probes it when much was published, so that no later delta looks at all of it again', async () => {
      const { ticker, probes } = watched()
      await publishMany(1)
      await ticker.fresh()
      probes()
      await publishMany(3000)
      const burst = await ticker.fresh()
      expect([burst.floor, probes()]).toEqual([await greatestSeq(), [false, true]])
      // lanes that lag read nothing: each tick probes, and none twice
      await publishMany(2000)
      expect((await ticker.fresh()).floor).toBe(await greatestSeq())
      probes()
      await publishMany(10)
      await ticker.fresh()
      expect(probes()).toEqual([false])
    })

    it('forgets what was read before it was reset: it may have been another server', async () => {
      const { ticker, probes } = watched()
      await publishMany(10)
      const before = await ticker.fresh()
      ticker.noteRead(before, before.floor + 500)
      ticker.reset()
      ticker.noteRead(before, before.floor + 500)
      probes()
      expect((await ticker.fresh()).floor).toBe(await greatestSeq())
      expect(probes()).toEqual([true])
    })
  })

  it('is followed by another for a transaction that drew its seq behind the snapshot and before the ceiling', async () => {
    let open: Awaited<ReturnType<typeof publishing>> | undefined
    const meanwhile: Meanwhile = { afterSnapshot: async () => (open ??= await publishing()) }
    const ticker = new Ticker(slowly(pool(), meanwhile), systemClock)
    try {
      const tick = await ticker.fresh()
      const { xid, seq, end } = open as NonNullable<typeof open>
      expect(tick.ceiling).toBeGreaterThanOrEqual(seq)
      expect(parseSnapshot(tick.snapshot).xmax <= BigInt(xid)).toBe(true)
      await end()
      // nothing is drawn from the sequence any more, and nothing that ran in the tick's snapshot has ended
      ticker.start()
      let latest = tick
      await waitFor(async () => {
        latest = await ticker.next(latest.number, AbortSignal.timeout(10_000))
        return isVisibleIn(xid, parseSnapshot(latest.snapshot))
      })
    } finally {
      await ticker.stop()
    }
  })

  it('knows how far the log must be on disk, whenever an asynchronous publisher commits', async () => {
    const asynchronous = 'set local synchronous_commit = off'
    const before = await publishing(asynchronous)
    const between = await publishing(asynchronous)
    const committed: bigint[] = [await before.end()]
    const tick = await takeTick(slowly(pool(), { beforeSnapshot: async () => committed.push(await between.end()) }), 0)
    for (const { xid } of [before, between]) expect(isVisibleIn(xid, parseSnapshot(tick.snapshot))).toBe(true)
    for (const lsn of committed) expect(await bytesOf(tick.lsn)).toBeGreaterThanOrEqual(lsn)
    await whenDurable(pool(), tick)
    for (const lsn of committed) expect(await position(pool(), 'flush')).toBeGreaterThanOrEqual(lsn)
  })

  it('asks for no flush of its own commit, which nobody waits for', async () => {
    // another database of the server may write at any moment: once in many is enough
    await waitFor(async () => {
      const meanwhile: Meanwhile = {}
      const { lsn } = await takeTick(slowly(pool(), meanwhile), 0)
      return (await bytesOf(lsn)) < (await bytesOf(meanwhile.inserted as string))
    })
  })

  it('says that a log is on disk only when it is', async () => {
    const client = await pool().connect()
    try {
      await client.query('set synchronous_commit = off')
      for (let i = 0; i < 50; i++) {
        await publish(client, 'order.created', { i })
        const committed = await position(client, 'insert')
        const tick = await takeTick(pool(), 0)
        if (tick.flushed) expect(await position(pool(), 'flush')).toBeGreaterThanOrEqual(committed)
        else expect(await bytesOf(tick.lsn)).toBeGreaterThanOrEqual(committed)
      }
    } finally {
      client.release(true)
    }
  })
})
