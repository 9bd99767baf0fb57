import pg from 'pg'
import { beforeEach, expect, onTestFinished } from 'vitest'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import type { TestDatabase } from '../support/database.js'
import { ScriptedAdapter, publish } from '../support/dispatching.js'
import type { PostgresServer } from '../support/services.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { useDispatching } from './dispatching-fixture.js'

/** Other tests' transactions on the same server may keep a dispatcher from sleeping soundly for a while. */
/** Heartbeats are 27 s apart: what arrives before the next one was not found by it. */
const rareBeats = 60_000

export interface Ear {
  /** What each notification to wake up named. */
  readonly wakes: string[]
  /** Heartbeats heard. */
  readonly beats: string[]
  /** Resolves when everything that was sent before the call is heard: notifications keep the order of their commits. */
  caughtUp(): Promise<void>
}

/** Hears what dispatchers hear, until the test ends. */
export async function listen({ url, pool }: TestDatabase): Promise<Ear> {
  const client = new pg.Client({ connectionString: url })
  const [wakes, beats]: string[][] = [[], []]
  const heard = new Set<string>()
  client.on('notification', ({ channel, payload = '' }) => {
    if (channel === 'waybill_wake') wakes?.push(payload)
    else if (channel === 'marker') heard.add(payload)
    else if (payload.startsWith('beat:')) beats?.push(payload.slice(5))
  })
  await client.connect()
  onTestFinished(() => client.end())
  await client.query('listen waybill_wake; listen waybill_lanes; listen marker')
  let markers = 0
  return {
    wakes: wakes as string[],
    beats: beats as string[],
    async caughtUp() {
      const marker = String(++markers)
      await pool.query(`select pg_notify('marker', $1)`, [marker])
      await waitFor(() => heard.has(marker), { what: 'the marker' })
    },
  }
}

/** A pool for one dispatcher, whose sessions can be told from the test's. It ends with the test. */
function dispatcherPool(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4, application_name: 'waybill dispatcher' })
  pool.on('error', () => undefined)
  onTestFinished(() => pool.end())
  return pool
}

/** Milliseconds since the dispatcher last asked the database something. */
export async function lastQueryAgo({ pool }: TestDatabase): Promise<number> {
  const { rows } = await pool.query<{ ms: number | null }>(
    `select (extract(epoch from clock_timestamp() - max(query_start)) * 1000)::float8 as ms from pg_stat_activity
      where datname = current_database() and application_name = 'waybill dispatcher'`,
  )
  return rows[0]?.ms ?? 0
}

/** Asleep so soundly that it has asked the database nothing for longer than it ever waits between two looks. */
export async function soundlyAsleep(database: TestDatabase, ...dispatchers: Dispatcher[]): Promise<void> {
  await waitFor(async () => dispatchers.every(({ asleep }) => asleep) && (await lastQueryAgo(database)) > 1300, {
    what: 'sound sleep',
  })
}

/** Ends the sessions of listeners; resolves to how many there were. */
export async function cutListeners({ pool }: TestDatabase): Promise<number> {
  const { rowCount } = await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and application_name = 'waybill listener'`,
  )
  return rowCount ?? 0
}

/** For the top of a `describe`: dispatchers of two lanes whose sleep is not disturbed by heartbeats. */
export function useWaking(server: PostgresServer) {
  const { database, pool, start } = useDispatching(server)

  // whoever slept when the test before ended is still counted asleep
  beforeEach(async () => {
    await pool().query(`select setval('waybill.awake', (select last_value from waybill.asleep))`)
  })

  async function dispatching(options: { leaseMs?: number; listenUrl?: string } = {}) {
    const adapter = new ScriptedAdapter()
    const dispatcher = await start({
      pool: dispatcherPool(database().url),
      destinations: { crm: { adapter, settings: { shards: 2 } } },
      leaseMs: rareBeats,
      ...options,
    })
    const got = (id: string): Promise<unknown> => waitFor(() => adapter.ids().includes(id), { what: 'the delivery' })
    return { adapter, dispatcher, got }
  }

  /** Publishers notify nobody: the answer to a notification may take a moment. */
  const quiet = (ear: Ear): Promise<void> =>
    eventually(async () => {
      const from = ear.wakes.length
      await publish(pool(), 'order.created', {})
      await ear.caughtUp()
      expect(ear.wakes.length).toBe(from)
    })

  /** Publishers notify: from a moment after it says that it is asleep. */
  async function countedAsleep(): Promise<boolean> {
    const { rowCount } = await pool().query(
      'select from waybill.asleep s, waybill.awake w where s.last_value > w.last_value',
    )
    return rowCount === 1
  }

  /** A client of the pool with a transaction open; given back, or thrown away, when the test ends. */
  async function transaction(begin = 'begin'): Promise<pg.PoolClient> {
    const client = await pool().connect()
    onTestFinished(() => client.release(true))
    await client.query(begin)
    return client
  }

  return { database, pool, countedAsleep, dispatching, quiet, transaction }
}
