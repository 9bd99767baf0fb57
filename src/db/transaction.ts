import type pg from 'pg'

/**
 * Begins a READ COMMITTED transaction that the server ends when nothing comes from its client for 10 s. A process that is
 * frozen, or cut off, keeps its locks for as long as TCP goes on: one that was stopped within a deployment held up all ticks,
 * and so all delivery, for hours.
 */
export const beginSql = "begin isolation level read committed; set local idle_in_transaction_session_timeout = '10s'"

/**
 * For statements that look at all ranges of the log, or at all of one: what the planner adds up for those is more than
 * `jit_above_cost`, and compiling them took seconds where the work took milliseconds. For the transaction alone, as a
 * session may be another's through a pooler.
 */
export const uncompiledSql = 'set local jit = off; set local max_parallel_workers_per_gather = 0'

/**
 * One statement without parameters, neither compiled nor run by parallel workers. Statements that are sent together are one
 * transaction, so this needs no round trip more; within a transaction of the caller's it holds until that ends.
 */
export async function queryUncompiled<R extends pg.QueryResultRow>(client: pg.ClientBase, sql: string): Promise<R[]> {
  const results: unknown = await client.query(`${uncompiledSql}; ${sql}`)
  return (results as pg.QueryResult<R>[]).at(-1)?.rows ?? []
}

/**
 * Runs `work` in one READ COMMITTED transaction on a connection of `pool`. Rolls back when it throws; a connection that
 * can't roll back is thrown away.
 */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  let broken = true
  try {
    await client.query(beginSql)
    const result = await work(client)
    await client.query('commit')
    broken = false
    return result
  } catch (error) {
    await client.query('rollback').then(
      () => (broken = false),
      () => undefined,
    )
    throw error
  } finally {
    client.release(broken)
  }
}
