import type pg from 'pg'
import { pause, unlessAborted, type CallLimit } from './call-limit.js'

/** Of the calls of this process in one place: settled when the last of them has passed its turn on. */
const lastTurns = new Map<object | string, Promise<void>>()

const lockPauseMs = 20

/**
 * One call at a time in a database. Those of this process that have one pool, or one connection string, wait for one
 * another before any of them takes a connection: what the one at work needs may be all that the pool has. Calls of other
 * processes and pools are kept out by a lock that is tried now and then, without a connection held meanwhile. The lock is
 * a transaction's: it ends with its session, and goes through a pooler. `waits` is called with what the call waits for.
 *
 * Work that has not ended when its time to tidy up is over loses its turn.
 */
export async function inTurn<T>(
  place: object | string,
  { pool, limit, waits }: { pool: pg.Pool; limit: CallLimit; waits: (what: string | undefined) => void },
  work: () => Promise<T>,
): Promise<T> {
  const pass = await takeTurn(place, limit.signal, waits)
  try {
    waits('the pool gave no connection, or the database did not answer')
    const free = await takeLock(pool, limit, waits)
    waits(undefined)
    try {
      return await unlessAborted(limit.left, work())
    } finally {
      await free()
    }
  } finally {
    pass()
  }
}

async function takeTurn(
  place: object | string,
  signal: AbortSignal,
  waits: (what: string) => void,
): Promise<() => void> {
  const before = lastTurns.get(place)
  let end: (() => void) | undefined
  const ended = new Promise<void>((resolve) => (end = resolve))
  const last = before === undefined ? ended : before.then(() => ended)
  lastTurns.set(place, last)
  const pass = (): void => {
    end?.()
    if (lastTurns.get(place) === last) lastTurns.delete(place)
  }
  if (before === undefined) return pass
  waits('another call of this process was under way')
  try {
    await unlessAborted(signal, before)
    // else the calls of one process leave those of another no moment in which the lock is free
    await pause(lockPauseMs * 1.5, signal)
    return pass
  } catch (error) {
    pass()
    throw error
  }
}

/** Gives what frees the lock. */
async function takeLock(pool: pg.Pool, limit: CallLimit, waits: (what: string) => void): Promise<Free> {
  for (;;) {
    const free = await tryLock(pool, limit)
    if (free !== undefined) return free
    waits('a call of another process, or with another pool, was under way in this database')
    await pause(lockPauseMs, limit.signal)
  }
}

/** A server that ends sessions or transactions for their age would end the lock in the middle of the work. */
const withoutAge = `select set_config(name, '0', true) from pg_settings
  where name in ('idle_in_transaction_session_timeout', 'transaction_timeout')`

type Free = () => Promise<void>

async function tryLock(pool: pg.Pool, { signal, left }: CallLimit): Promise<Free | undefined> {
  const client = await connect(pool, signal)
  // a session that ends while it is checked out says so on the client, which ends the process where none listens
  client.on('error', ignore)
  const giveBack = (broken: boolean): void => {
    client.off('error', ignore)
    client.release(broken)
  }
  /** Never rejects: a session that is hung up on frees the lock as well. */
  const free = (): Promise<void> =>
    unlessAborted(left, client.query('rollback')).then(
      () => giveBack(false),
      () => giveBack(true),
    )
  try {
    await unlessAborted(signal, client.query('begin isolation level read committed'))
    const { rows } = await unlessAborted(
      signal,
      client.query<{ taken: boolean }>('select pg_try_advisory_xact_lock(7718266, 99) as taken'),
    )
    if (rows[0]?.taken === true) {
      await unlessAborted(signal, client.query(withoutAge))
      return free
    }
    await unlessAborted(signal, client.query('rollback'))
    giveBack(false)
    return undefined
  } catch (error) {
    giveBack(true)
    throw error
  }
}

const ignore = (): void => undefined

/** A connection that comes too late is given back. */
async function connect(pool: pg.Pool, signal: AbortSignal): Promise<pg.PoolClient> {
  const connecting = pool.connect()
  try {
    return await unlessAborted(signal, connecting)
  } catch (error) {
    connecting.then((client) => client.release(), ignore)
    throw error
  }
}
