import { WaybillError } from '../core/errors.js'
import type { PublishStatement, RunStatement } from '../outbox/publish.js'
import { isPgClient, runInPgTransaction } from './pg-transaction.js'
import { shapeOf } from './shape.js'

type Rows = readonly unknown[]

/**
 * A `pg` client inside a transaction, or anything else that runs a statement in an open transaction: the caller's word is
 * taken that it is one. Rows are objects; `$1` stands for the first parameter.
 */
export interface QueryTransaction {
  query(text: string, values?: unknown[]): PromiseLike<{ readonly rows: Rows } | Rows>
  /** A pg.Pool has it: each statement on a pool is a transaction of its own. */
  readonly totalCount?: never
}

/** The client that Prisma gives to the callback of `$transaction(async (tx) => …)`. */
export interface PrismaTransaction {
  $queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>
  /** A PrismaClient has it: each statement on it is a transaction of its own. */
  readonly $connect?: never
}

/** An open transaction, by structure: no driver or ORM is imported. */
export type Transaction = QueryTransaction | PrismaTransaction

const help = 'give a pg client after "begin", the tx of prisma.$transaction(async (tx) => …), or tx: null'

/**
 * How a statement runs in `tx`. Throws `WAYBILL_TX_REQUIRED` when there is none and `WAYBILL_TX_INVALID` when it is
 * something that is known not to be an open transaction; then nothing was written.
 */
export function transactionRunner(tx: unknown, prepared: boolean): RunStatement {
  if (tx === undefined) {
    throw new WaybillError(
      'WAYBILL_TX_REQUIRED',
      "tx is missing: publish in the transaction that writes your data ({ tx: client }), or say { tx: null } to publish in one of the message's own",
    )
  }
  if ((typeof tx !== 'object' && typeof tx !== 'function') || tx === null) throw invalid(`is ${shapeOf(tx)}; ${help}`)
  const handle = tx as Partial<Record<string, unknown>>
  if (typeof handle['then'] === 'function') throw invalid('is a Promise; await it first')
  if (typeof handle['$queryRawUnsafe'] === 'function') {
    // $transaction is no sign: Prisma 7 has it on the inner client too, for nested transactions
    if (typeof handle['$connect'] === 'function') {
      throw invalid('is a PrismaClient, not a transaction; give the tx of prisma.$transaction(async (tx) => …)')
    }
    return prismaRunner(tx as PrismaTransaction)
  }
  if (typeof handle['query'] !== 'function')
    throw invalid(`is ${shapeOf(tx)} without query or $queryRawUnsafe; ${help}`)
  if ('totalCount' in handle && 'idleCount' in handle) {
    throw invalid(
      'is a pool: each statement on it is a transaction of its own; give a client of it (await pool.connect()) after "begin"',
    )
  }
  if (isPgClient(tx)) return (statement) => runInPgTransaction(tx, statement, prepared)
  return queryRunner(tx as QueryTransaction)
}

function invalid(what: string): WaybillError {
  return new WaybillError('WAYBILL_TX_INVALID', `tx ${what}; nothing was published`)
}

function prismaRunner(tx: PrismaTransaction): RunStatement {
  return async ({ text, values }) => (await tx.$queryRawUnsafe(text, ...values)) as Rows
}

/** Rows as an array (TypeORM) or in an object (pg and its like). */
export function queryRunner(tx: Pick<QueryTransaction, 'query'>): RunStatement {
  return async ({ text, values }: PublishStatement) => {
    const result = (await tx.query(text, values)) as { readonly rows?: Rows } | Rows | undefined
    return isRows(result) ? result : (result?.rows ?? [])
  }
}

function isRows(result: unknown): result is Rows {
  return Array.isArray(result)
}
