import type pg from 'pg'
import { backoffDelay } from '../../core/backoff.js'
import { systemClock, type Clock } from '../../core/clock.js'
import { codeOf } from '../../core/errors.js'
import { takeLock } from '../../db/lock.js'
import { loadSql } from '../../db/sql.js'
import type { RangeTable } from './range-table.js'
import { beginSql } from '../../db/transaction.js'

export interface LockOptions {
  /** For how long anyone may have to queue behind a change that waits for its lock. Milliseconds, default 200. */
  readonly lockTimeoutMs?: number
  /** How long to go on trying. Milliseconds, default 10,000. */
  readonly withinMs?: number
  readonly signal?: AbortSignal
  readonly clock?: Clock
}

interface AttemptOptions extends LockOptions {
  /** False for work whose locks no publisher or reader waits for: then nobody needs to be looked out for. Default true. */
  readonly yieldToHolders?: boolean
}

/** Sessions whose locks stood in the way, in words; empty when they were gone as soon as they were looked for. */
export interface Busy {
  readonly busy: readonly string[]
}

/** Work throws this when what it had planned no longer fits what it finds under the lock. */
export class PlanStale extends Error {
  override name = 'PlanStale'
}

const holdersSql = loadSql(import.meta.url, './lock_holders.sql')

/**
 * Runs `work` in a transaction with a short lock_timeout, again and again with jitter until it goes through or the time
 * is up. While a transaction that has gone on for a second has the table locked, it does not even ask: the request would
 * only make publishers and readers queue. `work` may run many times.
 */
export async function attemptUnderLock<T>(
  client: pg.ClientBase,
  { table }: RangeTable,
  options: AttemptOptions,
  work: () => Promise<T>,
): Promise<{ readonly done: T } | Busy> {
  const { lockTimeoutMs = 200, withinMs = 10_000, signal, clock = systemClock, yieldToHolders = true } = options
  const deadline = clock.monotonic() + withinMs
  for (let attempt = 1; ; attempt++) {
    let busy = yieldToHolders ? await longHolders(client, table) : []
    if (busy.length === 0) {
      const result = await attemptOnce(client, lockTimeoutMs, work)
      if (result !== undefined) return result
      busy = await longHolders(client, table)
    }
    if (signal?.aborted === true || clock.monotonic() >= deadline) return { busy }
    await clock.sleep(backoffDelay(attempt, { baseMs: 50, capMs: 1000 }), signal)
  }
}

async function longHolders(client: pg.ClientBase, table: string): Promise<string[]> {
  const { rows } = await client.query<{ holder: string }>(holdersSql, [`waybill.${table}`, '1 second'])
  return rows.map((row) => row.holder)
}

async function attemptOnce<T>(
  client: pg.ClientBase,
  lockTimeoutMs: number,
  work: () => Promise<T>,
): Promise<{ readonly done: T } | Busy | undefined> {
  await client.query(beginSql)
  try {
    await client.query(`set local lock_timeout = ${Math.round(lockTimeoutMs)}; set local search_path = pg_catalog;
      set local client_min_messages = warning`)
    // two that change partitions would wait for each other's table locks
    await takeLock(client, 'partitions')
    const done = await work()
    await client.query('commit')
    return { done }
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    if (error instanceof PlanStale) return { busy: ['another session changed the partitions meanwhile'] }
    // lock time-out, deadlock: later
    if (['55P03', '40P01'].includes(codeOf(error) ?? '')) return undefined
    throw error
  }
}
