import Knex from 'knex'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Queue, type KnexTransaction } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { logged } from './publish-fixture.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

const database = useDatabase()
let knex: Knex.Knex
beforeAll(async () => {
  await database().pool.query(orders)
  knex = Knex({ client: 'pg', connection: database().url })
})
afterAll(() => knex.destroy())

describeTransactions({
  name: 'knex',
  database,
  transaction: (work) => knex.transaction((trx) => work(trx, { insert: (ref) => trx('app_orders').insert({ ref }) })),
  savepoint: (tx, work) => (tx as unknown as Knex.Knex.Transaction).savepoint((inner) => work(inner)),
  roots: () => ({
    instance: [knex, 'Knex instance'],
    clone: [knex.withUserParams({}), 'Knex instance'],
    provider: [knex.transactionProvider(), 'no transaction of a library'],
    promise: [knex.transaction(async () => undefined), 'Promise'],
    builder: [knex('app_orders').select(), 'Promise'],
  }),
})

it('a transaction of Knex without a callback, with a processing of responses of its own', async () => {
  const queue = new Queue()
  const processing = Knex({
    client: 'pg',
    connection: database().url,
    postProcessResponse: (result: { rows?: unknown }) => result.rows ?? result,
  })
  const trx = await processing.transaction()
  const id = await queue.publish('knex.bare', 1, { tx: trx satisfies KnexTransaction })
  await trx.commit()
  expect(await logged(database(), 'knex.bare')).toMatchObject([{ id }])
  await processing.destroy()
})
