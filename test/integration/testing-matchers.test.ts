import { CamelCasePlugin, Kysely, PostgresDialect } from 'kysely'
import { drizzle } from 'drizzle-orm/node-postgres'
import knexOf from 'knex'
import postgres from 'postgres'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { DataSource } from 'typeorm'
import { Sequelize } from 'sequelize'
import { PrismaPg } from 'prisma6-adapter-pg'
import { PrismaClient } from '../fixtures/prisma6/client.js'
import { Queue, type Transaction } from '../../src/index.js'
import { recorder } from '../../src/testing/index.js'
import { waybillMatchers } from '../../src/testing/vitest.js'
import { useDatabase } from '../support/database.js'

expect.extend(waybillMatchers)

const database = useDatabase()
const queue = new Queue()

/** What a test throws to roll back. */
class RolledBack extends Error {}
type InTransaction = (work: (tx: Transaction) => Promise<void>) => Promise<unknown>
type Savepoint = (tx: Transaction, work: (inner: Transaction) => Promise<void>) => Promise<unknown>

interface Library {
  readonly transaction: InTransaction
  readonly savepoint?: Savepoint
  readonly end?: () => Promise<unknown>
}

type Nested = { transaction: (work: (inner: Transaction) => Promise<void>) => Promise<void> }
const nested: Savepoint = (tx, work) => (tx as unknown as Nested).transaction(work)

/** As a user of each library writes it. */
const libraries: Readonly<Record<string, (url: string) => Library>> = {
  pg: () => ({
    transaction: async (work) => {
      const client = await database().pool.connect()
      try {
        await client.query('begin')
        await work(client)
      } finally {
        await client.query('rollback')
        client.release()
      }
    },
  }),
  kysely: () => {
    // a plugin that renames columns
    const dialect = new PostgresDialect({ pool: database().pool })
    const db = new Kysely<object>({ dialect, plugins: [new CamelCasePlugin()] })
    return { transaction: (work) => db.transaction().execute(work) }
  },
  drizzle: () => {
    const db = drizzle(database().pool)
    return { transaction: (work) => db.transaction((tx) => work(tx)), savepoint: nested }
  },
  'prisma 6': (url) => {
    const Client = PrismaClient as new (options: { adapter: PrismaPg }) => {
      $transaction(work: (tx: Transaction) => Promise<void>): Promise<void>
      $disconnect(): Promise<void>
    }
    const prisma = new Client({ adapter: new PrismaPg({ connectionString: url }) })
    return { transaction: (work) => prisma.$transaction((tx) => work(tx)), end: () => prisma.$disconnect() }
  },
  knex: (url) => {
    const knex = knexOf({ client: 'pg', connection: url })
    return {
      transaction: (work) => knex.transaction((trx) => work(trx as unknown as Transaction)),
      savepoint: nested,
      end: () => knex.destroy(),
    }
  },
  'postgres.js': (url) => {
    const sql = postgres(url, { max: 2, onnotice: () => undefined })
    return {
      transaction: (work) => sql.begin((tx) => work(tx)),
      savepoint: (tx, work) => (tx as unknown as postgres.TransactionSql).savepoint((inner) => work(inner)),
      end: () => sql.end(),
    }
  },
  typeorm: (url) => {
    const source = new DataSource({ type: 'postgres', url })
    return {
      transaction: async (work) => {
        if (!source.isInitialized) await source.initialize()
        await source.transaction((manager) => work(manager))
      },
      savepoint: nested,
      end: () => source.destroy(),
    }
  },
  sequelize: (url) => {
    const sequelize = new Sequelize(url, { logging: false })
    return {
      transaction: (work) => sequelize.transaction((t) => work(t)),
      savepoint: (t, work) => sequelize.transaction({ transaction: t as never }, (inner) => work(inner)),
      end: () => sequelize.close(),
    }
  },
}

describe.each(Object.entries(libraries))('with a transaction of %s', (name, make) => {
  let library: Library
  beforeAll(() => {
    library = make(database().url)
  })
  afterAll(() => library.end?.())
  const rolledBack = async (work: (tx: Transaction) => Promise<void>): Promise<void> => {
    const done = library.transaction(async (tx) => {
      await work(tx)
      throw new RolledBack()
    })
    await expect(done).rejects.toThrow(RolledBack)
    expect((await database().pool.query('select from waybill.messages')).rowCount).toBe(0)
    expect((await database().pool.query('select from waybill.scheduled')).rowCount).toBe(0)
  }

  it('a recorder and the matcher see what it published', () =>
    rolledBack(async (tx) => {
      await queue.publish('order.created', { n: 1 }, { tx, key: 'before' })
      const seen = await recorder({ tx })
      await expect(seen).not.toHavePublished('order.created')
      await queue.publish('order.created', { id: name, tags: ['a?', '$1', ':x'] }, { tx, key: 'o1', delay: '5m' })
      await expect(tx).toHavePublished('order.created', { key: 'before' })
      await expect(seen).not.toHavePublished('order.created', { key: 'before' })
      const expected = { key: 'o1', delay: '5m', payload: { id: name, tags: ['a?', '$1', ':x'] } }
      await expect(seen).toHavePublished('order.created', expected)
      await expect(tx).toHavePublished('order.created', expected)
      await seen.assertPublished('order.created', expected)
      if (library.savepoint === undefined) return
      const undone = library.savepoint(tx, async (inner) => {
        await queue.publish('order.undone', 1, { tx: inner })
        await expect(seen).toHavePublished('order.undone')
        await expect(inner).toHavePublished('order.undone')
        throw new RangeError()
      })
      await expect(undone).rejects.toThrow(RangeError)
      await expect(seen).not.toHavePublished('order.undone')
    }))
})

describe('toHavePublished', () => {
  it('fails with what was published, in both directions, and shows the runner both sides', async () => {
    const client = await database().pool.connect()
    try {
      await client.query('begin')
      await queue.publish('order.created', { total: 1 }, { tx: client, key: 'o1' })
      const missing = expect(client).toHavePublished('order.created', {
        payload: { total: expect.any(String) as string },
      })
      await expect(missing).rejects.toMatchObject({
        message: expect.stringContaining('payload.total: expected Any<String>, got 1') as string,
        actual: { topic: 'order.created', payload: { total: 1 } },
      })
      const unwanted = expect(client).not.toHavePublished('order.created')
      await expect(unwanted).rejects.toThrow('1. order.created  key "o1"  {"total":1}')
    } finally {
      await client.query('rollback')
      client.release()
    }
  })

  it('does not take a wrong call for a message that is not there', async () => {
    await expect(expect(undefined).not.toHavePublished('order.created')).rejects.toMatchObject({
      code: 'WAYBILL_TX_REQUIRED',
    })
    await expect(expect(database().pool).not.toHavePublished('order.created')).rejects.toMatchObject({
      code: 'WAYBILL_TX_INVALID',
    })
    await expect(expect({}).not.toHavePublished('no topic')).rejects.toMatchObject({ code: 'WAYBILL_TESTING_INVALID' })
    const misspelt = expect({}).not.toHavePublished('order.created', { paylod: 1 } as never)
    await expect(misspelt).rejects.toMatchObject({ code: 'WAYBILL_TESTING_INVALID' })
  })
})
