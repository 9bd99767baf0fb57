import type pg from 'pg'

/**
 * Begins a READ COMMITTED transaction that the server ends when nothing comes from its client for 10 s. A process that is
 * frozen, or cut off, keeps its locks for as long as TCP goes on: one that was stopped within a deployment held up all ticks,
 * and so all delivery, for hours.
 */
export const beginSql = "begin isolation level read committed; set local idle_in_transaction_session_timeout = '10s'"

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
