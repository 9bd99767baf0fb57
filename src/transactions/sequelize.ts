import { isObject, notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { unlessHeld } from './scope.js'

/** The Transaction of `sequelize.transaction(async (t) => …)`, or of `await sequelize.transaction()`. */
export interface SequelizeTransaction {
  commit(): PromiseLike<unknown>
  rollback(): PromiseLike<unknown>
  readonly afterCommit: (...given: never) => unknown
}

const remedy = 'give the t of sequelize.transaction(async (t) => …)'

/**
 * Sequelize 6 (lib/transaction.js). Of a Transaction the types name `commit`, `rollback` and `afterCommit`; that it has
 * `sequelize`, `connection`, `finished` and `parent` is not in them, but as old as the class, and `Sequelize.query`
 * reads the same members. One without a connection was never started: a query on it would go to the pool. `finished` is
 * set before COMMIT or ROLLBACK is sent, and asked in the turn in which a statement is sent (`checkTransaction`).
 */
export const sequelize: TransactionKind = (tx) => {
  const given = tx as Members<'authenticate' | 'define' | 'query' | 'afterCommit' | 'sequelize' | 'connection'>
  if (typeof given.authenticate === 'function' && typeof given.define === 'function') {
    throw notOpen('is a Sequelize instance, not a transaction', remedy)
  }
  if (typeof given.afterCommit !== 'function' || !isObject(given.sequelize)) return undefined
  const { query } = given.sequelize as Members<'query'>
  if (typeof query !== 'function') return undefined
  const look = (): void => {
    if (hasEnded(tx)) throw notOpen('is a Sequelize Transaction that has ended', 'use it before it ends')
  }
  look()
  if (!isObject(given.connection)) throw notOpen('is a Sequelize Transaction that was not started', remedy)
  const root = given.sequelize as { query(sql: string, options: object): PromiseLike<unknown> }
  const options = { transaction: tx, type: 'SELECT', raw: true, plain: false, nest: false }
  return unlessHeld({
    run: async ({ text, values }) => rowsOf(await root.query(text, { ...options, bind: values })),
    look,
  })
}

/** Of a nested one also when the outer one has ended. */
function hasEnded(transaction: object): boolean {
  const { finished, parent } = transaction as Members<'finished' | 'parent'>
  return typeof finished === 'string' || (isObject(parent) && hasEnded(parent))
}
