import { type RunStatement, runWithPg } from '../core/statement.js'

/** A pool for what is published in a transaction of its own. */
export interface OwnPool {
  readonly run: RunStatement
  /** Waits for what is under way. */
  end(): Promise<void>
}

/** Makes a pool. `pg` is loaded here and not before: who publishes through an ORM only need not have it in memory. */
export async function openPool(connectionString: string, max: number, prepared: boolean): Promise<OwnPool> {
  const { createPool } = await import('../db/pool.js')
  // not "waybill…": an operator may end sessions of that name to take a dispatcher's place
  const pool = createPool({ connectionString, max, applicationName: 'publisher (waybill)' })
  return {
    run: (statement) => runWithPg(pool, statement, prepared),
    end: () => pool.end(),
  }
}
