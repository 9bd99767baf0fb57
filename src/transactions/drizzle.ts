import { isObject, notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { settled } from './overtaken.js'
import { inScope } from './scope.js'

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
 * Its `_` is an object of its own, also where the handle is a Proxy for the transaction of the moment; of a nested one
 * `nestedIndex` is above 0.
 */
export const drizzle: TransactionKind = (tx) => {
  const made: unknown = (tx as Members<'constructor'>).constructor
  if (typeof made !== 'function' || !(entityKind in made)) return undefined
  const { execute, rollback, setTransaction, _, nestedIndex } = tx as Members<
    'execute' | 'rollback' | 'setTransaction' | '_' | 'nestedIndex'
  >
  if (typeof execute !== 'function') return undefined
  if (typeof rollback !== 'function' || typeof setTransaction !== 'function') {
    throw notOpen('is a Drizzle database, not a transaction', remedy)
  }
  const transaction = tx as { execute(query: object): PromiseLike<unknown> }
  const run = async ({ text, values }: { text: string; values: (string | null)[] }) =>
    rowsOf(await transaction.execute(wrapper(text, values)))
  return inScope({
    key: isObject(_) ? _ : tx,
    isOneTransaction: isObject(_),
    run: isOfPostgresJs(_) ? settled(run, remedy) : run,
    unmarked: nestedIndex === 0 ? 'savepoint' : 'ended',
    inOrder: true,
    remedy,
  })
}

/** The client of postgres.js is a function. */
function isOfPostgresJs(inner: unknown): boolean {
  const session = isObject(inner) ? (inner as Members<'session'>).session : undefined
  return isObject(session) && typeof (session as Members<'client'>).client === 'function'
}

/** As Drizzle's `sql` makes it: the text, with parameters that go to the driver as they are. */
function wrapper(text: string, params: (string | null)[]): object {
  const sql = { getSQL: () => sql, toQuery: () => ({ sql: text, params, typings: params.map(() => 'none') }) }
  return sql
}
