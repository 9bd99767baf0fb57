import { isObject, notOpen, type Members, type TransactionKind } from './kind.js'
import { knex } from './knex.js'
import { kysely } from './kysely.js'

/** The `em` of MikroORM's `em.transactional(async (em) => …)`, or after `await em.begin()`. */
export interface MikroOrmTransaction {
  isInTransaction(): boolean
  getTransactionContext(): unknown
}

const remedy = 'give the em of em.transactional(async (em) => …), or an em after await em.begin()'

/**
 * MikroORM 6 and 7, whose `isInTransaction` and `getTransactionContext` are public. With its SQL drivers the context is a
 * transaction of Knex (6) or of Kysely (7), and is used as such: `em.execute` would write the parameters into the text of
 * the statement, and with it the payload into MikroORM's log. Inside `transactional` the global em stands for the inner
 * one (an AsyncLocalStorage knows), and is in the transaction too.
 */
export const mikroOrm: TransactionKind = (tx, how) => {
  const { isInTransaction, getTransactionContext } = tx as Members<'isInTransaction' | 'getTransactionContext'>
  if (typeof isInTransaction !== 'function' || typeof getTransactionContext !== 'function') return undefined
  const em = tx as MikroOrmTransaction
  if (!em.isInTransaction()) throw notOpen('is a MikroORM EntityManager outside a transaction', remedy)
  const context = em.getTransactionContext()
  const inner = isObject(context) || typeof context === 'function' ? context : {}
  const open = knex(inner, how) ?? kysely(inner, how)
  if (open === undefined) throw notOpen('is a MikroORM EntityManager of no SQL driver', 'use @mikro-orm/postgresql')
  return open
}
