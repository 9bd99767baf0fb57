import * as typeorm1 from 'typeorm'
import * as typeorm03 from 'typeorm-0.3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { logged } from './publish-fixture.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

const database = useDatabase()
beforeAll(() => database().pool.query(orders))

describe.each([
  ['typeorm-1', typeorm1],
  // what is used of it is the same
  ['typeorm-0_3', typeorm03 as unknown as typeof typeorm1],
])('%s', (name, { DataSource, EntitySchema }) => {
  const Order = new EntitySchema<{ id?: number; ref: string }>({
    name: 'Order',
    tableName: 'app_orders',
    columns: { id: { type: 'integer', primary: true, generated: 'increment' }, ref: { type: 'text' } },
  })
  let source: typeorm1.DataSource
  let idle: typeorm1.QueryRunner
  beforeAll(async () => {
    source = new DataSource({ type: 'postgres', url: database().url, entities: [Order] })
    await source.initialize()
    idle = source.createQueryRunner()
  })
  afterAll(async () => {
    await idle.release()
    await source.destroy()
  })

  // the whole of our refusal
  const ended = /tx is not an open transaction[^]*of a TypeORM transaction that has ended/
  const roots = () =>
    ({
      source: [source, 'TypeORM DataSource'],
      manager: [source.manager, 'EntityManager of a TypeORM DataSource'],
      repository: [source.getRepository(Order), 'EntityManager of a TypeORM DataSource'],
      runner: [idle, 'QueryRunner that is in no transaction'],
      'manager of a runner': [idle.manager, 'QueryRunner that is in no transaction'],
    }) as const

  describeTransactions({
    name,
    database,
    transaction: (work) =>
      source.transaction((manager) => work(manager, { insert: (ref) => manager.insert(Order, { ref }) })),
    savepoint: (tx, work) => (tx as unknown as typeorm1.EntityManager).transaction((inner) => work(inner)),
    roots,
    ended,
  })

  describeTransactions({
    name: `${name}-runner`,
    database,
    transaction: async (work) => {
      const runner = source.createQueryRunner()
      try {
        await runner.startTransaction()
        const insert = (ref: string) => runner.query('insert into app_orders (ref) values ($1)', [ref])
        const result = await work(runner, { insert })
        await runner.commitTransaction()
        return result
      } catch (error) {
        await runner.rollbackTransaction()
        throw error
      } finally {
        await runner.release()
      }
    },
    savepoint: async (tx, work) => {
      const runner = tx as unknown as typeorm1.QueryRunner
      await runner.startTransaction()
      try {
        const result = await work(tx)
        await runner.commitTransaction()
        return result
      } catch (error) {
        await runner.rollbackTransaction()
        throw error
      }
    },
    roots,
    ended,
  })

  it('takes a repository of a transaction as its manager', async () => {
    const queue = new Queue()
    await source.transaction(async (manager) => {
      await queue.publish(`${name}.repository`, 1, { tx: manager.getRepository(Order) })
    })
    expect(await logged(database(), `${name}.repository`)).toHaveLength(1)
  })
})
