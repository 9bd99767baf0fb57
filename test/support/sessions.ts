import type { TestDatabase } from './database.js'
import { eventually } from './wait-for.js'

/** How many sessions of the database have a name like `pattern` (of SQL's `like`; default: any of Waybill's own). */
export async function sessionsOf(
  { pool, name }: Pick<TestDatabase, 'pool' | 'name'>,
  pattern = '%waybill%',
): Promise<number> {
  const sql = `select from pg_stat_activity where datname = $1 and application_name like $2`
  return (await pool.query(sql, [name, pattern])).rowCount ?? 0
}

/** Waits until there is none left: a server ends a session some time after its client said goodbye. */
export async function sessionsEnd(database: Pick<TestDatabase, 'pool' | 'name'>, pattern?: string): Promise<void> {
  await eventually(async () => {
    const sessions = await sessionsOf(database, pattern)
    if (sessions > 0) throw new Error(`${sessions} sessions have not ended`)
  })
}
