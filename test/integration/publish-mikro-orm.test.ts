import { EntitySchema, MikroORM, type SqlEntityManager } from '@mikro-orm/postgresql'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { logged } from './publish-fixture.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

interface Order {
  id?: number
  ref: string
}
const Order = new EntitySchema<Order>({
  name: 'Order',
  tableName: 'app_orders',
  properties: { id: { type: 'integer', primary: true }, ref: { type: 'text' } },
})

const database = useDatabase()
let orm: MikroORM
const messages: string[] = []
beforeAll(async () => {
  await database().pool.query(orders)
  orm = await MikroORM.init({
    clientUrl: database().url,
    entities: [Order],
    debug: true,
    colors: false,
    logger: (message) => messages.push(message),
  })
})
afterAll(() => orm.close())

describeTransactions({
  name: 'mikro-orm',
  database,
  transaction: (work) => orm.em.transactional((em) => work(em, { insert: (ref) => em.insert(Order, { ref }) })),
  savepoint: (tx, work) => (tx as unknown as SqlEntityManager).transactional((inner) => work(inner)),
  roots: () => ({
    em: [orm.em, 'EntityManager outside a transaction'],
    fork: [orm.em.fork(), 'EntityManager outside a transaction'],
  }),
})

it('begin and commit of MikroORM, and the global em within transactional, are its transaction too', async () => {
  const queue = new Queue()
  const em = orm.em.fork()
  await em.begin()
  await queue.publish('mikro.begin', 1, { tx: em })
  await em.commit()
  await orm.em.transactional(() => queue.publish('mikro.global', { card: 'secret' }, { tx: orm.em }))
  expect(await logged(database(), 'mikro.begin')).toHaveLength(1)
  expect(await logged(database(), 'mikro.global')).toHaveLength(1)
  expect(messages.join()).toContain('commit')
  expect(messages.join()).not.toContain('secret')
})
