import { InputError } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { drizzle, type DrizzleTransaction } from './drizzle.js'
import { notOpen, type Members, type OpenTransaction, type RunOptions, type TransactionKind } from './kind.js'
import { knex, type KnexTransaction } from './knex.js'
import { kysely, type KyselyTransaction } from './kysely.js'
import { mikroOrm, type MikroOrmTransaction } from './mikro-orm.js'
import { pg } from './pg.js'
import { postgresJs, type PostgresJsTransaction } from './postgres-js.js'
import { prisma, type PrismaTransaction } from './prisma.js'
import { anyQuery, pool, type QueryTransaction } from './query.js'
import { sequelize, type SequelizeTransaction } from './sequelize.js'
import { typeorm } from './typeorm.js'

/** An open transaction, by structure: no driver or ORM is imported. */
export type Transaction =
  | QueryTransaction
  | PrismaTransaction
  | PostgresJsTransaction
  | DrizzleTransaction
  | KyselyTransaction
  | KnexTransaction
  | SequelizeTransaction
  | MikroOrmTransaction

/** Looked at in this order, though each knows its own objects from all others. */
const kinds: readonly TransactionKind[] = [
  ...[pool, prisma, postgresJs, drizzle, kysely, knex],
  ...[typeorm, sequelize, mikroOrm],
]

/**
 * The transaction that is open in `tx` now. Throws an `InputError`: `WAYBILL_TX_REQUIRED` when there is none,
 * `WAYBILL_TX_INVALID` when it is something that is known not to be an open transaction; then nothing was written.
 */
export function openTransaction(tx: unknown, how: RunOptions): OpenTransaction {
  if (tx === undefined) {
    throw new InputError('WAYBILL_TX_REQUIRED', 'tx is missing; nothing was written', [
      {
        path: 'tx',
        message: how.txOnly
          ? 'give the transaction that writes your data ({ tx: client })'
          : "publish in the transaction that writes your data ({ tx: client }), or say { tx: null } to publish in one of the message's own",
      },
    ])
  }
  const help = how.txOnly ? whatIsOpen : `${whatIsOpen}, or tx: null`
  if ((typeof tx !== 'object' && typeof tx !== 'function') || tx === null) throw notOpen(`is ${shapeOf(tx)}`, help)
  // first and by name, so that it can be inlined: 10 ns against 60 as one of the list
  const ofPg = pg(tx, how)
  if (ofPg !== undefined) return ofPg
  for (const kind of kinds) {
    const open = kind(tx, how)
    if (open !== undefined) return open
  }
  if (typeof (tx as Members<'then'>).then === 'function') throw notOpen('is a Promise', 'await it first')
  // last: roots that must be refused have a query() too
  const other = anyQuery(tx, how)
  if (other !== undefined) return other
  throw notOpen(`is ${shapeOf(tx)} that is no transaction of a library that Waybill knows, and has no query()`, help)
}

const whatIsOpen =
  'give a pg client after "begin", or the transaction of your ORM or query builder (docs/transactions.md)'
