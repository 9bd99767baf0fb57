import { isObject, notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { inScope } from './scope.js'

const remedy =
  'give the manager of dataSource.transaction(async (manager) => …), or a QueryRunner after startTransaction()'

/**
 * TypeORM 0.3 and 1: `DataSource.createQueryRunner`, `EntityManager.queryRunner`, `Repository.manager` and a
 * QueryRunner's `isTransactionActive` and `isReleased` are public. The manager of a transaction has a query runner; that
 * of the data source has none, or one that is in no transaction. `isTransactionActive` stays true while COMMIT is under
 * way, and a query runner may have one transaction after another: hence the mark.
 */
export const typeorm: TransactionKind = (tx) => {
  const given = tx as Members<Member>
  if (typeof given.query !== 'function') return undefined
  if (typeof given.createQueryRunner === 'function' && isObject(given.manager)) {
    throw notOpen('is a TypeORM DataSource, not a transaction', remedy)
  }
  if (isQueryRunner(given)) return inQueryRunner(tx as QueryRunner)
  if (isManager(given)) return inManager(given)
  // a Repository stands for its manager
  const { manager } = given
  return isObject(manager) && isManager(manager) ? inManager(manager) : undefined
}

type Member = 'query' | 'createQueryRunner' | 'manager' | 'queryRunner' | 'isTransactionActive' | 'isReleased'

interface QueryRunner {
  readonly isTransactionActive: boolean
  readonly isReleased: boolean
  query(sql: string, parameters: (string | null)[]): PromiseLike<unknown>
}

function isQueryRunner(value: object): boolean {
  const { isTransactionActive, isReleased } = value as Members<Member>
  return typeof isTransactionActive === 'boolean' && typeof isReleased === 'boolean'
}

function isManager(value: object): boolean {
  const { getRepository, transaction, save } = value as Members<'getRepository' | 'transaction' | 'save'>
  return typeof getRepository === 'function' && typeof transaction === 'function' && typeof save === 'function'
}

function inManager({ queryRunner }: Members<'queryRunner'>): ReturnType<TransactionKind> {
  if (isObject(queryRunner) && isQueryRunner(queryRunner)) return inQueryRunner(queryRunner as QueryRunner)
  throw notOpen('is the EntityManager of a TypeORM DataSource, outside a transaction', remedy)
}

function inQueryRunner(runner: QueryRunner): ReturnType<TransactionKind> {
  const look = (): void => {
    if (runner.isReleased) throw notOpen('is of a TypeORM transaction that has ended', 'use it before it ends')
    if (!runner.isTransactionActive) throw notOpen('is of a TypeORM QueryRunner that is in no transaction', remedy)
  }
  look()
  return inScope({
    key: runner,
    isOneTransaction: true,
    run: async ({ text, values }) => rowsOf(await runner.query(text, values)),
    look,
    unmarked: 'another',
    inOrder: false,
    remedy,
  })
}
