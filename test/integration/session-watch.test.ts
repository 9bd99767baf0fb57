import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createPool, endPool } from '../../src/db/pool.js'
import { SessionWatch } from '../../src/db/session-watch.js'
import { isConnectionError } from '../../src/db/sqlstate.js'
import { useDatabase } from '../support/database.js'
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { waitFor } from '../support/wait-for.js'

const silentMs = 600

interface Watched {
  readonly pool: pg.Pool
  readonly network: HalfOpenProxy
  /** How many were hung up on, each time. */
  readonly silent: number[]
}

async function watched(url: string): Promise<Watched> {
  const network = await startHalfOpenProxy({ port: Number(new URL(url).port) })
  const pool = createPool({ connectionString: network.through(url) })
  const silent: number[] = []
  const watch = new SessionWatch({ pool, silentMs, onSilent: (sessions) => silent.push(sessions) })
  watch.start()
  onTestFinished(async () => {
    watch.stop()
    await endPool(pool)
  })
  return { pool, network, silent }
}

/** What it was rejected with. */
const rejection = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )

describe.each(['directly', 'through PgBouncer'] as const)('a session, %s', (way) => {
  const database = useDatabase({ server: 'pg18' })
  const open = (): Promise<Watched> => watched(way === 'directly' ? database().url : database().pgbouncerUrl)

  it('whose network forgot it is hung up on, and new ones take its place', async () => {
    const { pool, network, silent } = await open()
    const client = await pool.connect()
    await client.query('select 1')
    network.forget()
    const error = await rejection(client.query('select 2'))
    client.release(true)
    expect(isConnectionError(error)).toBe(true)
    expect(silent).toEqual([1])
    expect((await pool.query<{ n: number }>('select 3 as n')).rows).toEqual([{ n: 3 }])
  })

  it('is not the only one: those that rest beside it went the same way', async () => {
    const { pool, network, silent } = await open()
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
    await Promise.all(clients.map((client) => client.query('select 1')))
    for (const client of clients) client.release()
    network.forget()
    expect(isConnectionError(await rejection(pool.query('select 2')))).toBe(true)
    expect(silent).toEqual([3])
    expect((await pool.query<{ n: number }>('select 3 as n')).rows).toEqual([{ n: 3 }])
    expect(silent).toEqual([3])
  })

  it('that is at work is left alone, however long that takes', async () => {
    const { pool, silent } = await open()
    const { rows } = await pool.query<{ n: number }>(`select 4 as n from pg_sleep(${(5 * silentMs) / 1000})`)
    expect(rows).toEqual([{ n: 4 }])
    expect(silent).toEqual([])
  })

  it('that rests between two statements of a transaction is left alone', async () => {
    const { pool, silent } = await open()
    const client = await pool.connect()
    await client.query('begin')
    await sleep(3 * silentMs)
    expect((await client.query<{ n: number }>('select 5 as n')).rows).toEqual([{ n: 5 }])
    await client.query('commit')
    client.release()
    expect(silent).toEqual([])
  })

  it('has its answer when the network was only away, and nobody could be asked', async () => {
    const { pool, network, silent } = await open()
    const client = await pool.connect()
    network.swallow()
    const answer = client.query<{ n: number }>('select 6 as n')
    await sleep(1.5 * silentMs) // it is asked for, without an answer: the question waits in the same network
    network.restore()
    expect((await answer).rows).toEqual([{ n: 6 }])
    client.release()
    expect(silent).toEqual([])
  })

  it('has its answer when that comes after what the server says about it', async () => {
    const { pool, network, silent } = await open()
    const client = await pool.connect()
    network.forget()
    const answer = client.query<{ n: number }>('select 7 as n')
    await waitFor(() => network.connections() === 2, { what: 'the question' })
    await sleep(100) // answered: at rest, as far as the server knows
    network.remember()
    expect((await answer).rows).toEqual([{ n: 7 }])
    client.release()
    expect(silent).toEqual([])
  })
})

describe('a session that was hung up on', () => {
  const database = useDatabase({ server: 'pg18' })

  it('keeps nothing locked', async () => {
    const { pool, network } = await watched(database().url)
    const client = await pool.connect()
    await client.query('begin; select pg_advisory_xact_lock(42)')
    network.forget()
    await rejection(client.query('select 1'))
    client.release(true)
    await waitFor(
      async () => {
        const { rows } = await database().pool.query<{ got: boolean }>('select pg_try_advisory_lock(42) as got')
        return rows[0]?.got
      },
      { what: 'the lock' },
    )
  })

  it('may be one that the server believes to be at work, as its answer can go nowhere', async () => {
    const { pool, network, silent } = await watched(database().url)
    const client = await pool.connect()
    // more than the sockets on the way take
    const many = `select repeat('x', 1000000) from (select pg_sleep(0.3) offset 0) s, generate_series(1, 200)`
    const error = rejection(client.query(many))
    await sleep(100)
    network.forget()
    expect(isConnectionError(await error)).toBe(true)
    client.release(true)
    expect(silent).toEqual([1])
  })
})

describe('ending a pool', () => {
  const database = useDatabase({ server: 'pg18' })

  it('takes no longer than it is given when the server does not answer', async () => {
    const network = await startHalfOpenProxy({ port: Number(new URL(database().url).port) })
    const pool = createPool({ connectionString: network.through(database().url) })
    const [resting, working] = await Promise.all([pool.connect(), pool.connect()])
    resting.release()
    network.swallow()
    const error = rejection(working.query('select 1')).finally(() => working.release(true))
    await endPool(pool, 200)
    expect(isConnectionError(await error)).toBe(true)
    expect(pool.totalCount).toBe(0)
  })
})
