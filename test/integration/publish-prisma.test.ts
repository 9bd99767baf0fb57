import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { PrismaPg } from '@prisma/adapter-pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Queue, type PrismaTransaction } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { onFileEnd } from '../support/cleanup.js'
import { uniqueName } from '../support/services.js'
import { logged, scheduled } from './publish-fixture.js'

/** What this file uses of the client that is generated while it runs. */
interface Transaction extends PrismaTransaction {
  readonly order: { create(args: { data: { ref: string } }): Promise<unknown>; count(): Promise<number> }
  $transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T>
}
interface Prisma extends Omit<Transaction, '$connect'> {
  $connect(): Promise<void>
  $disconnect(): Promise<void>
  $extends(extension: object): Prisma
}

const root = join(import.meta.dirname, '../..')
const fixture = join(root, 'test/fixtures/prisma')

/** Generates a client of its own for this run; Prisma's schema engine is not needed for it, only looked for. */
async function generate(): Promise<new (options: { adapter: PrismaPg }) => Prisma> {
  const folder = join(fixture, uniqueName('generated'))
  const schema = `${folder}.prisma`
  onFileEnd(() => Promise.all([rm(folder, { recursive: true, force: true }), rm(schema, { force: true })]))
  const text = await readFile(join(fixture, 'schema.prisma'), 'utf8')
  await writeFile(schema, text.replace('"./generated"', JSON.stringify(folder)))
  const prisma = join(root, 'node_modules/prisma/build/index.js')
  await promisify(execFile)(process.execPath, [prisma, 'generate', '--schema', schema], {
    cwd: root,
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, PRISMA_HIDE_UPDATE_MESSAGE: '1' },
  })
  const generated = (await import(join(folder, 'client.ts'))) as {
    PrismaClient: new (options: { adapter: PrismaPg }) => Prisma
  }
  return generated.PrismaClient
}

const database = useDatabase()
const queue = new Queue()
let prisma: Prisma

beforeAll(async () => {
  await database().pool.query(
    'create table app_orders (id int generated always as identity primary key, ref text not null)',
  )
  const PrismaClient = await generate()
  prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: database().url }) })
  // generating takes a few seconds of a busy machine
}, 180_000)
afterAll(() => prisma.$disconnect())

describe('an interactive transaction of Prisma', () => {
  it('publishes with the data when it commits', async () => {
    const ids = await prisma.$transaction(async (tx) => {
      await tx.order.create({ data: { ref: 'o1' } })
      const one = await queue.publish(
        'prisma.one',
        { text: `ü " ' \\ $1`, n: 1.5 },
        { tx, key: 'o1', headers: { a: 'b' } },
      )
      const many = await queue.publishMany(
        [
          { topic: 'prisma.many', payload: null, key: 'x,"y"\\' },
          { topic: 'prisma.many', payload: [1, { a: '{}' }], dedupeKey: 'd', dedupeWindow: '1h' },
          { topic: 'prisma.many', payload: 2, delay: '1h' },
        ],
        { tx },
      )
      return [one, ...many]
    })
    expect(await logged(database(), 'prisma.one')).toMatchObject([
      { id: ids[0], key: 'o1', payload: `{"text":"ü \\" ' \\\\ $1","n":1.5}`, headers: '{"a":"b"}' },
    ])
    expect(await logged(database(), 'prisma.many')).toMatchObject([
      { id: ids[1], key: 'x,"y"\\', payload: 'null' },
      { id: ids[2], key: null, payload: '[1,{"a":"{}"}]' },
    ])
    expect(await scheduled(database(), 'prisma.many')).toMatchObject([{ id: ids[3] }])
  })

  it('publishes nothing when it rolls back', async () => {
    const orders = await prisma.order.count()
    const work = prisma.$transaction(async (tx) => {
      await tx.order.create({ data: { ref: 'o2' } })
      await queue.publish('prisma.rollback', 1, { tx })
      throw new Error('no')
    })
    await expect(work).rejects.toThrow('no')
    expect(await prisma.order.count()).toBe(orders)
    expect(await logged(database(), 'prisma.rollback')).toEqual([])
  })

  it('may be of an extended client, or nested in another', async () => {
    await prisma.$extends({}).$transaction((tx) => queue.publish('prisma.extended', 1, { tx }))
    await prisma.$transaction((outer) => outer.$transaction((tx) => queue.publish('prisma.extended', 2, { tx })))
    expect(await logged(database(), 'prisma.extended')).toHaveLength(2)
  })

  it('takes back what it scheduled', async () => {
    await prisma.$transaction(async (tx) => {
      const id = await queue.publish('prisma.cancel', 1, { tx, at: new Date(Date.now() + 60_000) })
      expect(await queue.cancel(id, { tx })).toBe(true)
    })
    expect(await scheduled(database(), 'prisma.cancel')).toEqual([])
  })
})

describe('what is no open transaction', () => {
  it('is refused: a PrismaClient, plain or extended', async () => {
    for (const tx of [prisma, prisma.$extends({})]) {
      await expect(queue.publish('prisma.refused', 1, { tx } as never)).rejects.toMatchObject({
        code: 'WAYBILL_TX_INVALID',
      })
    }
    expect(await logged(database(), 'prisma.refused')).toEqual([])
  })

  it('is refused: a transaction that has ended, or failed', async () => {
    const ended = await prisma.$transaction(async (tx) => [tx])
    await expect(queue.publish('prisma.refused', 1, { tx: ended[0] as Transaction })).rejects.toThrow()
    const failed = prisma.$transaction(async (tx) => {
      await tx.$queryRawUnsafe('select 1 / 0').then(undefined, () => undefined)
      await queue.publish('prisma.refused', 1, { tx })
    })
    await expect(failed).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
    expect(await logged(database(), 'prisma.refused')).toEqual([])
  })
})

it('what the database refuses is told as with any client', async () => {
  const work = prisma.$transaction((tx) => queue.publish('prisma.refused', 1, { tx, to: ['nobody'] }))
  await expect(work).rejects.toMatchObject({
    code: 'WAYBILL_PUBLISH_INVALID',
    message: expect.stringContaining('nobody') as string,
  })
})
