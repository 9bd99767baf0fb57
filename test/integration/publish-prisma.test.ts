import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PrismaPg as PrismaPg6 } from 'prisma6-adapter-pg'
import { defineTopics, Queue, type PrismaTransaction } from '../../src/index.js'
import { waybillPrisma } from '../../src/queue-facade/prisma.js'
import { useDatabase } from '../support/database.js'
import { generatePrismaClient } from '../support/prisma-client.js'
import { PrismaClient as PrismaClient6 } from '../fixtures/prisma6/client.js'
import { logged, scheduled } from './publish-fixture.js'
import { describeTransactions, orders } from './publish-transactions-fixture.js'

/** What this file uses of the client that is generated while it runs. */
interface Transaction extends PrismaTransaction {
  readonly order: { create(args: { data: { ref: string } }): Promise<unknown>; count(): Promise<number> }
  $executeRawUnsafe(sql: string): Promise<unknown>
  $transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
}
interface Prisma extends Omit<Transaction, '$connect'> {
  $connect(): Promise<void>
  $disconnect(): Promise<void>
  $extends(extension: object): Prisma
}

const database = useDatabase()
const queue = new Queue()
let prisma: Prisma
let prisma6: Prisma

beforeAll(async () => {
  await database().pool.query(orders)
  const PrismaClient = (await generatePrismaClient()) as new (options: { adapter: PrismaPg }) => Prisma
  prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: database().url }) })
  const Six = PrismaClient6 as new (options: { adapter: PrismaPg6 }) => Prisma
  prisma6 = new Six({ adapter: new PrismaPg6({ connectionString: database().url }) })
  // generating takes a few seconds of a busy machine
}, 180_000)
afterAll(() => Promise.all([prisma.$disconnect(), prisma6.$disconnect()]))

/** Prisma's own refusal, P2028. */
const ended = /Transaction already closed|Transaction not found|closed transaction/

describeTransactions({
  name: 'prisma-7',
  database,
  transaction: (work) => prisma.$transaction((tx) => work(tx, { insert: (ref) => tx.order.create({ data: { ref } }) })),
  savepoint: (tx, work) => (tx as Transaction).$transaction((inner) => work(inner)),
  roots: () => ({
    client: [prisma, 'is a PrismaClient'],
    extended: [prisma.$extends({}), 'is a PrismaClient'],
    promise: [prisma.$transaction(async () => undefined), 'Promise'],
  }),
  ended,
})

describeTransactions({
  name: 'prisma-6',
  database,
  transaction: (work) =>
    prisma6.$transaction((tx) => work(tx, { insert: (ref) => tx.order.create({ data: { ref } }) })),
  // 6 has none of its own
  savepoint: async (tx, work) => {
    const client = tx as Transaction
    await client.$executeRawUnsafe('savepoint s')
    try {
      return await work(tx)
    } catch (error) {
      await client.$executeRawUnsafe('rollback to s')
      throw error
    }
  },
  roots: () => ({
    client: [prisma6, 'is a PrismaClient'],
    extended: [prisma6.$extends({}), 'is a PrismaClient'],
  }),
  ended,
})

/** What the extension adds; test/types looks at what Prisma's own types make of it. */
type Methods = ReturnType<typeof waybillPrisma>['client']
type Tx = Transaction & Methods

describe.each([
  ['prisma-7-extension', () => prisma],
  ['prisma-6-extension', () => prisma6],
])('%s: $extends(waybillPrisma(queue))', (name, root) => {
  const topics = defineTopics([`${name}.one`, `${name}.many`])
  const extended = () => root().$extends(waybillPrisma(new Queue({ topics })))
  const inTransaction = <T>(work: (tx: Tx) => Promise<T>) => extended().$transaction((tx) => work(tx as Tx))

  it('publishes with the data, and not when it rolls back', async () => {
    const ids = await inTransaction(async (tx) => [
      await tx.$publish(`${name}.one`, { n: 1 }, { key: 'k' }),
      ...(await tx.$publishMany([{ topic: `${name}.many`, payload: null }])),
    ])
    const undone = inTransaction(async (tx) => {
      await tx.$publish(`${name}.one`, 2)
      throw new RangeError('no')
    })
    await expect(undone).rejects.toThrow('no')
    expect(await logged(database(), `${name}.one`)).toMatchObject([{ id: ids[0], key: 'k', payload: '{"n":1}' }])
    expect(await logged(database(), `${name}.many`)).toMatchObject([{ id: ids[1] }])
  })

  it('cancels, and knows its topics', async () => {
    await inTransaction(async (tx) => {
      const id = await tx.$publish(`${name}.one`, 1, { delay: '1h' })
      expect(await tx.$cancelMessage(id)).toBe(true)
      await expect(tx.$publish(`${name}.unknown`, 1)).rejects.toMatchObject({ code: 'WAYBILL_UNKNOWN_TOPIC' })
    })
    expect(await scheduled(database(), `${name}.one`)).toEqual([])
  })

  it('is refused on the root client, also within a transaction of it', async () => {
    const client = extended()
    const publish = () => (client as unknown as Methods & PrismaTransaction).$publish(`${name}.one`, 3)
    const refused = { code: 'WAYBILL_TX_INVALID', message: expect.stringContaining('PrismaClient') as string }
    const before = await logged(database(), `${name}.one`)
    await expect(publish()).rejects.toMatchObject(refused)
    await client.$transaction(async () => {
      await expect(publish()).rejects.toMatchObject(refused)
    })
    expect(await logged(database(), `${name}.one`)).toEqual(before)
  })
})

describe('an interactive transaction of Prisma', () => {
  it('may be of an extended client, or nested in another', async () => {
    await prisma.$extends({}).$transaction((tx) => queue.publish('prisma.extended', 1, { tx }))
    await prisma.$transaction((outer) => outer.$transaction((tx) => queue.publish('prisma.extended', 2, { tx })))
    expect(await logged(database(), 'prisma.extended')).toHaveLength(2)
  })

  it('is refused when it has failed', async () => {
    const failed = prisma.$transaction(async (tx) => {
      await tx.$queryRawUnsafe('select 1 / 0').then(undefined, () => undefined)
      await queue.publish('prisma.failed', 1, { tx })
    })
    await expect(failed).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
    expect(await logged(database(), 'prisma.failed')).toEqual([])
  })
})
