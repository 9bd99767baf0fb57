import pg from 'pg'
import { within } from '../core/within.js'
import { checkedUrl, SteadyClient } from './steady-client.js'

export interface PoolOptions {
  readonly connectionString: string
  /** Connections at most. Default 4. */
  readonly max?: number
  /** Shown in pg_stat_activity; who takes a lane may end sessions called "waybill dispatcher". */
  readonly applicationName?: string
  /** Called with errors of idle connections, which would otherwise end the process. */
  readonly onError?: (error: Error) => void
}

/**
 * A pool for Waybill's own sessions. Keep-alive and time-outs are set, so that a silent peer is noticed.
 * @throws InputError WAYBILL_CONFIG_INVALID for a connection string that is no PostgreSQL URL
 */
export function createPool({ connectionString, max = 4, applicationName = 'waybill', onError }: PoolOptions): pg.Pool {
  const pool = new pg.Pool({
    // its types ask for a client that takes no settings
    Client: SteadyClient as unknown as new () => pg.ClientBase,
    connectionString: checkedUrl(connectionString),
    max,
    application_name: applicationName,
    connectionTimeoutMillis: 10_000,
    idleTimeoutMillis: 300_000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
  })
  pool.on('error', (error) => onError?.(error))
  return guardPool(pool)
}

/**
 * Ends a pool of `createPool`. A server that does not answer the goodbye within `withinMs` (default 1,000), or a session
 * that is still at work then, is hung up on: a silent network must not keep a process from ending. Never rejects.
 */
export async function endPool(pool: pg.Pool, withinMs = 1000): Promise<void> {
  const clients = [...sessionsOf(pool)]
  const closed = clients.map((client) => new Promise<void>((resolve) => client.once('end', resolve)))
  const ended = pool.end().catch(() => undefined)
  await within(withinMs, Promise.all([ended, ...closed]))
  for (const client of clients) client.connection.stream.destroy()
}

/** Of guarded pools: those that have been checked out and are open. */
const sessions = new WeakMap<pg.Pool, Set<pg.PoolClient>>()

/** Sessions of a pool that are open, at work or at rest; from `guardPool` on, as they are checked out. */
export function sessionsOf(pool: pg.Pool): ReadonlySet<pg.PoolClient> {
  return sessions.get(pool) ?? new Set()
}

/**
 * Keeps a session that ends while it is checked out from ending the process: pg emits `error` on the client then, and the
 * pool listens only while it is idle. Whoever uses the client hears of it from its query. Safe to call twice.
 */
export function guardPool(pool: pg.Pool): pg.Pool {
  if (sessions.has(pool)) return pool
  const open = new Set<pg.PoolClient>()
  sessions.set(pool, open)
  pool.on('acquire', (client) => {
    if (open.has(client)) return
    open.add(client)
    client.on('error', () => undefined)
  })
  pool.on('remove', (client) => open.delete(client))
  return pool
}

/** Every value as the text that PostgreSQL sent: for reads on the hot path, which convert what they need themselves. */
export const rawTypes: pg.CustomTypesConfig = { getTypeParser: () => (value: unknown) => value }
