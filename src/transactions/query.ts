import type { RunStatement } from '../core/statement.js'
import { notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { inScope } from './scope.js'

/**
 * A `pg` client inside a transaction, TypeORM's EntityManager or QueryRunner, or anything else that runs a statement in
 * an open transaction. Rows are objects; `$1` stands for the first parameter.
 */
export interface QueryTransaction {
  query(text: string, values?: unknown[]): PromiseLike<{ readonly rows: readonly unknown[] } | readonly unknown[]>
  /** A pg.Pool has it: each statement on a pool is a transaction of its own. */
  readonly totalCount?: never
  /** A TypeORM DataSource has it: likewise. */
  readonly createQueryRunner?: never
  /** A Sequelize instance has it: likewise. */
  readonly authenticate?: never
}

/** pg's pool, and those of drivers that have its interface. */
export const pool: TransactionKind = (tx) => {
  if (!('totalCount' in tx && 'idleCount' in tx)) return undefined
  throw notOpen(
    'is a pool: each statement on it is a transaction of its own',
    'give a client of it (await pool.connect()) after "begin"',
  )
}

/** Whatever has `query`: PostgreSQL is asked whether its statements share a transaction. */
export const anyQuery: TransactionKind = (tx) => {
  if (typeof (tx as Members<'query'>).query !== 'function') return undefined
  return inScope({
    key: tx,
    isOneTransaction: false,
    run: queryRunner(tx as QueryTransaction),
    unmarked: 'another',
    inOrder: false,
    remedy: 'give what runs its statements in one open transaction',
  })
}

/** Rows as an array (TypeORM) or in an object (pg and its like). */
export function queryRunner(tx: Pick<QueryTransaction, 'query'>): RunStatement {
  return async ({ text, values }) => rowsOf(await tx.query(text, values))
}
