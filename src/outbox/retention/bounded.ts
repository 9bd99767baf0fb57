import type pg from 'pg'
import { beginSql } from '../../db/transaction.js'

/** Runs `work` in a transaction whose statements end after `ms`. Rolls back when it throws. */
export async function inBoundedTransaction<T>(client: pg.ClientBase, ms: number, work: () => Promise<T>): Promise<T> {
  await client.query(beginSql)
  try {
    await client.query(`set local statement_timeout = ${Math.round(ms)}; set local lock_timeout = 1000`)
    const result = await work()
    await client.query('commit')
    return result
  } catch (error) {
    // a connection that is gone has rolled back by itself
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** What a sweep may do in one pass. */
export interface Bounds {
  /** Rows of a batch. Default 1,000. */
  readonly batch?: number
  /** Batches of a pass, for each table. Default 50. */
  readonly batches?: number
  /** A statement ends after this. Milliseconds, default 10,000. */
  readonly statementMs?: number
  readonly signal?: AbortSignal
}

/** Runs batches until one says that it was the last. Gives how many rows went in all. */
export async function inBatches(
  client: pg.ClientBase,
  { batches = 50, statementMs = 10_000, signal }: Bounds,
  step: () => Promise<{ readonly rows: number; readonly last: boolean }>,
): Promise<number> {
  let total = 0
  for (let i = 0; i < batches && signal?.aborted !== true; i++) {
    const { rows, last } = await inBoundedTransaction(client, statementMs, step)
    total += rows
    if (last) break
  }
  return total
}
