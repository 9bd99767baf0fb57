import { notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { unlessHeld } from './scope.js'

/** The `trx` of `knex.transaction(async (trx) => …)`, or of `await knex.transaction()`. */
export interface KnexTransaction {
  raw(sql: string, bindings: (string | null)[]): PromiseLike<unknown>
  isCompleted(): boolean
  readonly executionPromise: PromiseLike<unknown>
}

/**
 * Knex 1 to 3 (lib/execution/transaction.js, `makeTransactor`): a transaction is a function with `isTransaction` and
 * `isCompleted`, which is true too when an outer one has ended. `raw` knows `?` for a parameter, not `$1`; the
 * statements name each of theirs once and in order, and have no `?` of their own. `isCompleted` is true from the moment at
 * which COMMIT or ROLLBACK is sent, and each statement asks it in the turn in which it is sent (`trxClient.query`).
 */
export const knex: TransactionKind = (tx) => {
  const db = tx as Members<'raw' | 'client' | 'isTransaction' | 'isCompleted'>
  if (typeof tx !== 'function' || typeof db.raw !== 'function' || db.client === undefined) return undefined
  if (db.isTransaction !== true || typeof db.isCompleted !== 'function') {
    throw notOpen('is a Knex instance, not a transaction', 'give the trx of knex.transaction(async (trx) => …)')
  }
  const transaction = tx as unknown as KnexTransaction
  const look = (): void => {
    if (!transaction.isCompleted()) return
    throw notOpen('is a Knex transaction that has ended', 'publish before it is committed or rolled back')
  }
  look()
  return unlessHeld({
    run: async ({ text, values }) => rowsOf(await transaction.raw(text.replaceAll(/\$\d+/g, '?'), values)),
    look,
  })
}
