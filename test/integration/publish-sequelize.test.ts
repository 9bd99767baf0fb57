import { DataTypes, Sequelize, Transaction } from 'sequelize'
import { afterAll, beforeAll } from 'vitest'
import { useDatabase } from '../support/database.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

const database = useDatabase()
let sequelize: Sequelize
beforeAll(async () => {
  await database().pool.query(orders)
  sequelize = new Sequelize(database().url, { dialect: 'postgres', logging: false })
  sequelize.define('Order', { ref: DataTypes.TEXT }, { tableName: 'app_orders', timestamps: false })
})
afterAll(() => sequelize.close())

describeTransactions({
  name: 'sequelize',
  database,
  transaction: (work) =>
    sequelize.transaction((t) =>
      work(t, { insert: (ref) => sequelize.model('Order').create({ ref }, { transaction: t }) }),
    ),
  savepoint: async (tx, work) => {
    const transaction = tx as unknown as Transaction
    // to the types an option of managed transactions only
    return sequelize.transaction({ transaction } as object, (inner) => work(inner))
  },
  roots: () => ({
    instance: [sequelize, 'Sequelize instance'],
    'not started': [new Transaction(sequelize, {}), 'was not started'],
    options: [{ transaction: null }, 'no transaction of a library'],
  }),
})
