import { AsyncLocalStorage } from 'node:async_hooks'
import { EntitySchema, MikroORM, type SqlEntityManager } from '@mikro-orm/postgresql'
import { drizzle as drizzlePg } from 'drizzle-orm/node-postgres'
import { drizzle as drizzleJs } from 'drizzle-orm/postgres-js'
import Knex, { type Knex as KnexInstance } from 'knex'
import { type ControlledTransaction, Kysely, PostgresDialect, sql, type Transaction as KyselyTransaction } from 'kysely'
import pg from 'pg'
import postgres from 'postgres'
import { Sequelize, type Transaction as SequelizeTransaction } from 'sequelize'
import * as typeorm1 from 'typeorm'
import * as typeorm03 from 'typeorm-0.3'
import type { Transaction } from '../../src/index.js'
import { proxyOf, throughProxy } from './transaction-forms-pg.js'
import type { Form, Handle } from './transaction-property.js'

type Make = (url: string) => Form | Promise<Form>

function poolOf(url: string): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 2 })
  pool.on('error', () => undefined)
  return pool
}

/** Savepoints in SQL, on the one handle. */
async function inSql(query: Handle['query'], work: () => Promise<void>): Promise<void> {
  await query('savepoint s')
  try {
    await work()
  } catch (error) {
    await query('rollback to s')
    throw error
  }
  await query('release s')
}

function kyselyHandle(trx: KyselyTransaction<unknown>): Handle {
  const query = (text: string) => sql.raw(text).execute(trx)
  const self: Handle = { tx: trx, query, savepoint: (work) => inSql(query, () => work(self)) }
  return self
}

function controlledHandle(trx: ControlledTransaction<unknown, string[]>): Handle {
  return {
    tx: trx,
    query: (text) => sql.raw(text).execute(trx),
    async savepoint(work) {
      const inner = await trx.savepoint('s').execute()
      try {
        await work(controlledHandle(inner))
      } catch (error) {
        await inner.rollbackToSavepoint('s').execute()
        throw error
      }
      await inner.releaseSavepoint('s').execute()
    },
  }
}

function kyselyOf(url: string): Kysely<unknown> {
  return new Kysely<unknown>({ dialect: new PostgresDialect({ pool: poolOf(url) }) })
}

const kyselyForm: Make = (url) => {
  const db = kyselyOf(url)
  return {
    transaction: (work) => db.transaction().execute((trx) => work(kyselyHandle(trx))),
    close: () => db.destroy(),
  }
}

const controlled: Make = (url) => {
  const db = kyselyOf(url)
  return {
    close: () => db.destroy(),
    async transaction(work) {
      const trx = await db.startTransaction().execute()
      try {
        await work(controlledHandle(trx))
        await trx.commit().execute()
      } catch (error) {
        await trx.rollback().execute()
        throw error
      }
    },
  }
}

interface DrizzleTx {
  execute(query: string): PromiseLike<unknown>
  transaction(work: (inner: DrizzleTx) => Promise<void>): Promise<void>
}
function drizzleHandle(tx: DrizzleTx): Handle {
  return {
    tx: tx as unknown as Transaction,
    query: (text) => tx.execute(text),
    savepoint: (work) => tx.transaction((inner) => work(drizzleHandle(inner))),
  }
}
function drizzleForm(db: unknown, close: () => PromiseLike<unknown>): Form {
  return { transaction: (work) => (db as DrizzleTx).transaction((tx) => work(drizzleHandle(tx))), close }
}
const drizzle: Make = (url) => {
  const pool = poolOf(url)
  return drizzleForm(drizzlePg(pool), () => pool.end())
}
const drizzlePostgresJs: Make = (url) => {
  const client = postgres(url, { max: 2 })
  return drizzleForm(drizzleJs(client), () => client.end({ timeout: 1 }))
}

function postgresJsHandle(tx: postgres.TransactionSql): Handle {
  return {
    tx: tx,
    query: (text) => tx.unsafe(text),
    savepoint: (work) => tx.savepoint((inner) => work(postgresJsHandle(inner))),
  }
}
const postgresJs: Make = (url) => {
  const client = postgres(url, { max: 2 })
  return {
    transaction: (work) => client.begin((tx) => work(postgresJsHandle(tx))),
    close: () => client.end({ timeout: 1 }),
  }
}

function knexHandle(trx: KnexInstance.Transaction): Handle {
  return {
    tx: trx,
    query: (text) => trx.raw(text),
    savepoint: (work) => trx.transaction((inner) => work(knexHandle(inner))),
  }
}
const knex: Make = (url) => {
  const db = Knex({ client: 'pg', connection: url, pool: { min: 0, max: 2 } })
  return { transaction: (work) => db.transaction((trx) => work(knexHandle(trx))), close: () => db.destroy() }
}

const sequelize: Make = (url) => {
  const db = new Sequelize(url, { dialect: 'postgres', logging: false, pool: { max: 2 } })
  const handle = (transaction: SequelizeTransaction): Handle => ({
    tx: transaction,
    query: (text) => db.query(text, { transaction }),
    savepoint: (work) => db.transaction({ transaction }, (inner) => work(handle(inner))),
  })
  return { transaction: (work) => db.transaction((transaction) => work(handle(transaction))), close: () => db.close() }
}

function managerHandle(manager: typeorm1.EntityManager): Handle {
  return {
    tx: manager,
    query: (text) => manager.query(text),
    savepoint: (work) => manager.transaction((inner) => work(managerHandle(inner))),
  }
}
const typeormOf = async (url: string, from: typeof typeorm1): Promise<typeorm1.DataSource> =>
  new from.DataSource({ type: 'postgres', url, poolSize: 2 }).initialize()

const typeorm =
  (from: typeof typeorm1): Make =>
  async (url) => {
    const source = await typeormOf(url, from)
    return {
      transaction: (work) => source.transaction((manager) => work(managerHandle(manager))),
      close: () => source.destroy(),
    }
  }
const runner =
  (from: typeof typeorm1): Make =>
  async (url) => {
    const source = await typeormOf(url, from)
    return {
      close: () => source.destroy(),
      async transaction(work) {
        const own = source.createQueryRunner()
        try {
          await own.startTransaction()
          await work({ ...managerHandle(own.manager), tx: own })
          await own.commitTransaction()
        } catch (error) {
          await own.rollbackTransaction()
          throw error
        } finally {
          await own.release()
        }
      },
    }
  }
/** One transaction after another on the same two runners. */
const keptRunner =
  (from: typeof typeorm1): Make =>
  async (url) => {
    const source = await typeormOf(url, from)
    const idle = [source.createQueryRunner(), source.createQueryRunner()]
    const all = [...idle]
    const waiting: ((runner: typeorm1.QueryRunner) => void)[] = []
    return {
      late: false,
      close: async () => {
        await Promise.all(all.map((each) => each.release()))
        await source.destroy()
      },
      async transaction(work) {
        const own = idle.pop() ?? (await new Promise<typeorm1.QueryRunner>((resolve) => waiting.push(resolve)))
        try {
          await own.startTransaction()
          await work({ ...managerHandle(own.manager), tx: own })
          await own.commitTransaction()
        } catch (error) {
          await own.rollbackTransaction()
          throw error
        } finally {
          const next = waiting.shift()
          if (next) next(own)
          else idle.push(own)
        }
      },
    }
  }

const Row = new EntitySchema<{ ref: string }>({
  name: 'Row',
  tableName: 'own_rows',
  properties: { ref: { type: 'text', primary: true } },
})
function mikroHandle(em: SqlEntityManager): Handle {
  return {
    tx: em,
    query: (text) => em.execute(text),
    savepoint: (work) => em.transactional((inner) => work(mikroHandle(inner))),
  }
}
const mikroOrm: Make = async (url) => {
  const orm = await MikroORM.init({ clientUrl: url, entities: [Row], pool: { min: 0, max: 2 } })
  return {
    transaction: (work) => (orm.em.fork() as SqlEntityManager).transactional((em) => work(mikroHandle(em))),
    close: () => orm.close(),
  }
}

/** The same behind one object for all transactions. */
const behindProxy =
  (make: Make, target: () => object = () => ({})): Make =>
  async (url) => {
    const current = new AsyncLocalStorage<object>()
    const proxy = proxyOf(() => current.getStore() ?? {}, target())
    return throughProxy(await make(url), proxy, current)
  }
const asFunction = () => function () {}

const old = typeorm03 as unknown as typeof typeorm1
export const forms: Readonly<Record<string, Make>> = {
  kysely: kyselyForm,
  'kysely startTransaction': controlled,
  'kysely, proxied': behindProxy(kyselyForm),
  drizzle,
  'drizzle, proxied': behindProxy(drizzle),
  'drizzle on postgres.js': drizzlePostgresJs,
  'postgres.js': postgresJs,
  'postgres.js, proxied': behindProxy(postgresJs, asFunction),
  knex,
  'knex, proxied': behindProxy(knex, asFunction),
  sequelize,
  typeorm: typeorm(typeorm1),
  'typeorm runner': runner(typeorm1),
  'typeorm runner that is kept': keptRunner(typeorm1),
  'typeorm, proxied': behindProxy(typeorm(typeorm1)),
  'typeorm 0.3': typeorm(old),
  'typeorm 0.3 runner': runner(old),
  'mikro-orm': mikroOrm,
}
