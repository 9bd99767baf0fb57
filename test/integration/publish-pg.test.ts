import pg from 'pg'
import { beforeAll, describe } from 'vitest'
import { useDatabase } from '../support/database.js'
import { inTransaction, withClient } from './publish-fixture.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

describe.each(['pg18', 'pg15'] as const)('on %s', (server) => {
  const database = useDatabase({ server })
  beforeAll(() => database().pool.query(orders))

  describeTransactions({
    name: 'pg',
    database,
    transaction: (work) =>
      withClient(database(), (client) =>
        inTransaction(client, () =>
          work(client, { insert: (ref) => client.query('insert into app_orders (ref) values ($1)', [ref]) }),
        ),
      ),
    savepoint: async (tx, work) => {
      const client = tx as pg.Client
      await client.query('savepoint s')
      try {
        return await work(tx)
      } catch (error) {
        await client.query('rollback to s')
        throw error
      }
    },
    roots: () => ({
      pool: [database().pool, 'is a pool'],
      'client without a connection': [new pg.Client(), 'not connected'],
      promise: [database().pool.query('select 1'), 'Promise'],
    }),
  })
})
