import { isObject, notOpen, rowsOf, type Members, type TransactionKind } from './kind.js'
import { inScope } from './scope.js'

/** The `trx` of Kysely's `db.transaction().execute(async (trx) => …)`, or of `db.startTransaction().execute()`. */
export interface KyselyTransaction {
  readonly isTransaction: true
  executeQuery(query: never): PromiseLike<{ readonly rows: readonly unknown[] }>
}

/** What Kysely calls a `CompiledQuery`. */
interface KyselyQuery {
  readonly sql: string
  readonly parameters: readonly unknown[]
  readonly query: object
  readonly queryId: object
}

const remedy = 'give the trx of db.transaction().execute(async (trx) => …), or of await db.startTransaction().execute()'

/**
 * Kysely 0.28 and later: `isTransaction`, `executeQuery` and the members of a `CompiledQuery` are public; the query is
 * what `CompiledQuery.raw` makes (dist/query-compiler/compiled-query.js). A transaction that has ended refuses
 * statements itself since 0.28; one that was started with `startTransaction` says so too. But it does not know before its
 * COMMIT or ROLLBACK is answered, and in `transaction().execute` these overtake what queues behind a statement: hence the
 * mark. Each handle has an executor of its own, those of savepoints too, also where it is a Proxy for the transaction of
 * the moment.
 */
export const kysely: TransactionKind = (tx) => {
  const db = tx as Members<'executeQuery' | 'getExecutor' | 'isTransaction' | 'isCommitted' | 'isRolledBack'>
  if (typeof db.executeQuery !== 'function' || typeof db.getExecutor !== 'function') return undefined
  if (db.isTransaction !== true) {
    throw notOpen('is a Kysely instance, not a transaction', remedy)
  }
  const look = (): void => {
    if (db.isCommitted === true)
      throw notOpen('is a Kysely transaction that was committed', 'publish before the commit')
    if (db.isRolledBack === true) throw notOpen('is a Kysely transaction that was rolled back', 'publish before that')
  }
  look()
  const transaction = tx as KyselyTransaction
  const executor: unknown = (db as { getExecutor(): unknown }).getExecutor()
  // only those of startTransaction have savepoints, and handles for them
  const hasSavepoints = typeof db.isCommitted === 'boolean'
  return inScope({
    key: isObject(executor) ? executor : tx,
    isOneTransaction: isObject(executor),
    run: async ({ text, values }) => rowsOf(await transaction.executeQuery(rawQuery(text, values) as never)),
    look,
    unmarked: hasSavepoints ? 'ended' : 'another',
    inOrder: false,
    remedy,
  })
}

/** A new `queryId` for each: plugins keep what they know of a query under it. */
function rawQuery(sql: string, parameters: readonly unknown[]): KyselyQuery {
  const query = Object.freeze({ kind: 'RawNode', sqlFragments: Object.freeze([sql]), parameters: Object.freeze([]) })
  return { sql, parameters, query, queryId: Object.freeze({ queryId: `waybill-${queries++}` }) }
}

let queries = 0
