import { drizzle as nodePostgres, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { drizzle as postgresJs, type PostgresJsDatabase } from 'drizzle-orm/postgres-js'
import { integer, pgTable, text, withReplicas } from 'drizzle-orm/pg-core'
import pg from 'pg'
import postgres from 'postgres'
import { afterAll, beforeAll } from 'vitest'
import { onFileEnd } from '../support/cleanup.js'
import { useDatabase } from '../support/database.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

const database = useDatabase()
const appOrders = pgTable('app_orders', {
  id: integer().generatedAlwaysAsIdentity().primaryKey(),
  ref: text().notNull(),
})

let overPg: NodePgDatabase
let overClient: NodePgDatabase
let overPostgresJs: PostgresJsDatabase
beforeAll(async () => {
  await database().pool.query(orders)
  overPg = nodePostgres(database().pool)
  const client = new pg.Client({ connectionString: database().url })
  await client.connect()
  onFileEnd(() => client.end())
  overClient = nodePostgres(client)
  const sql = postgres(database().url, { max: 4 })
  overPostgresJs = postgresJs(sql)
  afterAll(() => sql.end())
})

type Tx = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

for (const [name, db] of [
  ['drizzle-node-postgres', () => overPg],
  ['drizzle-client', () => overClient],
  ['drizzle-postgres-js', () => overPostgresJs],
] as const) {
  describeTransactions({
    name,
    database,
    transaction: (work) =>
      (db() as NodePgDatabase).transaction((tx) => work(tx, { insert: (ref) => tx.insert(appOrders).values({ ref }) })),
    savepoint: (tx, work) => (tx as unknown as Tx).transaction((inner) => work(inner)),
    roots: () => ({
      database: [db(), 'Drizzle database'],
      replicas: [withReplicas(db() as NodePgDatabase, [db() as NodePgDatabase]), 'no transaction of a library'],
      promise: [db().transaction(async () => undefined), 'Promise'],
    }),
  })
}
