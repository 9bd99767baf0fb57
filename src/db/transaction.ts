import type pg from 'pg'

/**
 * Runs `work` in one READ COMMITTED transaction on a connection of `pool`. Rolls back when it throws; a connection that
 * can't roll back is thrown away.
 */
export async function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect()
  let broken = true
  try {
    await client.query('begin isolation level read committed')
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
