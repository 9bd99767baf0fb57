import postgres from 'postgres'
import { afterAll, beforeAll } from 'vitest'
import { useDatabase } from '../support/database.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

const database = useDatabase()
let sql: postgres.Sql
let reserved: postgres.ReservedSql

beforeAll(async () => {
  await database().pool.query(orders)
  sql = postgres(database().url, { max: 4 })
  reserved = await sql.reserve()
})
afterAll(async () => {
  reserved.release()
  await sql.end()
})

const open: postgres.TransactionSql[] = []
const current = (): postgres.TransactionSql => open.at(-1) as postgres.TransactionSql

describeTransactions({
  name: 'postgres-js',
  database,
  transaction: async (work) => {
    const [result] = await sql.begin(async (tx) => {
      open.push(tx)
      return [await work(tx, { insert: (ref) => tx`insert into app_orders (ref) values (${ref})` })]
    })
    return result as Awaited<ReturnType<typeof work>>
  },
  savepoint: async (_tx, work) => {
    const [result] = await current().savepoint(async (inner) => [await work(inner)])
    return result as Awaited<ReturnType<typeof work>>
  },
  roots: () => ({
    root: [sql, 'root sql of postgres.js'],
    reserved: [reserved, 'reserved connection'],
    query: [sql`select 1`, 'Promise'],
  }),
})
