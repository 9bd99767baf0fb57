import { notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { inSameTransaction } from './same-transaction.js'

/** The `tx` of Drizzle's `db.transaction(async (tx) => …)`, of any of its drivers for PostgreSQL. */
export interface DrizzleTransaction {
  execute(query: string): PromiseLike<unknown>
  setTransaction(config: never): PromiseLike<unknown>
  rollback(): never
}

const entityKind = Symbol.for('drizzle:entityKind')
const remedy = 'give the tx of db.transaction(async (tx) => …)'

/**
 * Drizzle 0.3x to 0.45 (drizzle-orm/pg-core/session.js): its classes carry `entityKind`, a registered symbol, and only
 * `PgTransaction` has `rollback` and `setTransaction`. `execute` takes what has `getSQL()`, and the dialect calls
 * `toQuery()` of that: both are public members of Drizzle's `SQL`, so parameters can go along without importing it. A
 * transaction does not tell that it has ended; with node-postgres its statements would then run on the released client.
 */
export const drizzle: TransactionKind = (tx) => {
  const made: unknown = (tx as Members<'constructor'>).constructor
  if (typeof made !== 'function' || !(entityKind in made)) return undefined
  const { execute, rollback, setTransaction } = tx as Members<'execute' | 'rollback' | 'setTransaction'>
  if (typeof execute !== 'function') return undefined
  if (typeof rollback !== 'function' || typeof setTransaction !== 'function') {
    throw notOpen('is a Drizzle database, not a transaction', remedy)
  }
  const transaction = tx as { execute(query: object): PromiseLike<unknown> }
  return inSameTransaction(tx, async ({ text, values }) => rowsOf(await transaction.execute(wrapper(text, values))), {
    reusable: false,
    remedy,
  })
}

/** As Drizzle's `sql` makes it: the text, with parameters that go to the driver as they are. */
function wrapper(text: string, params: (string | null)[]): object {
  const sql = { getSQL: () => sql, toQuery: () => ({ sql: text, params, typings: params.map(() => 'none') }) }
  return sql
}
