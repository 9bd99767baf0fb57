import { CamelCasePlugin, Kysely, PostgresDialect, sql, type ControlledTransaction, type Generated } from 'kysely'
import { beforeAll } from 'vitest'
import { useDatabase } from '../support/database.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

interface Tables {
  appOrders: { id: Generated<number>; ref: string }
}

const database = useDatabase()
let db: Kysely<Tables>
beforeAll(async () => {
  await database().pool.query(orders)
  // with a plugin that looks at queries and at results; the pool is the test's, so nothing is destroyed
  db = new Kysely({ dialect: new PostgresDialect({ pool: database().pool }), plugins: [new CamelCasePlugin()] })
})

const insert = (trx: Kysely<Tables>) => ({
  insert: (ref: string) => trx.insertInto('appOrders').values({ ref }).execute(),
})
const roots = () =>
  ({
    instance: [db, 'Kysely instance'],
    schema: [db.withSchema('waybill'), 'Kysely instance'],
    builder: [db.transaction(), 'no transaction of a library'],
  }) as const

describeTransactions({
  name: 'kysely',
  database,
  transaction: (work) => db.transaction().execute((trx) => work(trx, insert(trx))),
  savepoint: async (tx, work) => {
    const trx = tx as unknown as Kysely<Tables>
    await sql`savepoint s`.execute(trx)
    try {
      return await work(tx)
    } catch (error) {
      await sql`rollback to s`.execute(trx)
      throw error
    }
  },
  roots,
  // Kysely's own
  ended: /already committed/,
})

describeTransactions({
  name: 'kysely-controlled',
  database,
  transaction: async (work) => {
    const trx = await db.startTransaction().execute()
    try {
      const result = await work(trx, insert(trx))
      await trx.commit().execute()
      return result
    } catch (error) {
      await trx.rollback().execute()
      throw error
    }
  },
  savepoint: async (tx, work) => {
    const trx = tx as unknown as ControlledTransaction<Tables, ['s']>
    const inner = await trx.savepoint('s').execute()
    try {
      return await work(inner)
    } catch (error) {
      await inner.rollbackToSavepoint('s').execute()
      throw error
    }
  },
  roots,
})
