import { notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { settled } from './overtaken.js'
import { inScope } from './scope.js'

/** The `sql` that postgres.js gives to the callback of `sql.begin(async (sql) => …)` or of `sql.savepoint`. */
export interface PostgresJsTransaction {
  unsafe(query: string, parameters?: (string | null)[], options?: { prepare?: boolean }): PromiseLike<unknown>
  readonly savepoint: (...given: never) => unknown
  /** The root has it: each statement on it is a transaction of its own. */
  readonly begin?: never
}

const remedy = 'give the sql of sql.begin(async (sql) => …)'

/**
 * postgres.js 3 (`postgres`, src/index.js): the `sql` of a transaction is a function with `savepoint`; the root has
 * `begin`, a reserved connection `release`. None tells whether its transaction has ended, and afterwards it sends
 * statements on the same connection as before, or forgets them. Each `sql`, a savepoint's too, has a `savepoint` of its
 * own, also where the handle is a Proxy for the transaction of the moment; which of them are savepoints none tells.
 */
export const postgresJs: TransactionKind = (tx, { prepared }) => {
  const sql = tx as Members<'unsafe' | 'savepoint' | 'begin' | 'release'>
  if (typeof tx !== 'function' || typeof sql.unsafe !== 'function') return undefined
  if (typeof sql.release === 'function') throw notOpen('is a reserved connection of postgres.js', remedy)
  if (typeof sql.savepoint !== 'function') throw notOpen('is the root sql of postgres.js, not a transaction', remedy)
  const transaction = tx as unknown as PostgresJsTransaction
  return inScope({
    key: sql.savepoint,
    isOneTransaction: true,
    run: settled(
      async ({ text, values }) => rowsOf(await transaction.unsafe(text, values, { prepare: prepared })),
      remedy,
    ),
    unmarked: 'ended',
    inOrder: true,
    remedy,
  })
}
