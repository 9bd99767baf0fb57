import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { PrismaPg as PrismaPg6 } from 'prisma6-adapter-pg'
import type { PrismaTransaction } from '../../src/index.js'
import { PrismaClient as PrismaClient6 } from '../fixtures/prisma6/client.js'
import { useDatabase } from '../support/database.js'
import { generatePrismaClient } from '../support/prisma-client.js'
import { type Form, type Handle, holds, ownTable } from './transaction-property.js'

interface Prisma extends Omit<PrismaTransaction, '$connect'> {
  $executeRawUnsafe(sql: string): PromiseLike<unknown>
  $transaction(work: (tx: Prisma) => Promise<void>, options: { timeout: number; maxWait: number }): PromiseLike<unknown>
  $disconnect(): Promise<void>
}

/** Savepoints in SQL; some transactions are ended by their time limit in the middle. */
function form(prisma: Prisma): Form {
  const handle = (tx: Prisma): Handle => {
    const query = (sql: string) => tx.$executeRawUnsafe(sql)
    const self: Handle = {
      tx: tx,
      query,
      async savepoint(work) {
        await query('savepoint s')
        try {
          await work(self)
        } catch (error) {
          await query('rollback to s')
          throw error
        }
        await query('release s')
      },
    }
    return self
  }
  let transactions = 0
  return {
    unordered: true,
    transaction: (work) =>
      prisma.$transaction((tx) => work(handle(tx)), {
        timeout: transactions++ % 4 === 0 ? 15 : 10_000,
        maxWait: 20_000,
      }),
    close: () => Promise.resolve(),
  }
}

describe('a message is in the log exactly where the row of its transaction is', () => {
  const database = useDatabase({ server: 'pg15' })
  const clients = new Map<string, Prisma>()
  beforeAll(async () => {
    await database().pool.query(ownTable)
    const Seven = await generatePrismaClient()
    const config = { connectionString: database().url, max: 2 }
    clients.set('prisma-7', new Seven({ adapter: new PrismaPg(config) }) as Prisma)
    const Six = PrismaClient6 as new (options: { adapter: PrismaPg6 }) => Prisma
    clients.set('prisma-6', new Six({ adapter: new PrismaPg6(config) }))
    // generating takes a few seconds of a busy machine
  }, 180_000)
  afterAll(() => Promise.all([...clients.values()].map((client) => client.$disconnect())))

  it.each(['prisma-7', 'prisma-6'])('%s', { timeout: 60_000 }, async (name) => {
    const client = clients.get(name)
    if (client) await holds(form(client), database(), name, Number(process.env['WAYBILL_SEED'] ?? 1), 60)
  })
})
