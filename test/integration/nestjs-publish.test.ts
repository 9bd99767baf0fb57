import { Controller, HttpCode, Inject, Injectable, Param, Post } from '@nestjs/common'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import * as typeorm1 from 'typeorm'
import * as typeorm03 from 'typeorm-0.3'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineTopics, Queue } from '../../src/index.js'
import { getQueueToken, InjectQueue, WaybillModule, type WaybillOptionsFactory } from '../../src/nestjs/index.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { sessionsEnd } from '../support/sessions.js'
import { createApp, moduleOf, startApp } from './nestjs-fixture.js'
import { logged } from './publish-fixture.js'
import { orders } from './publish-transactions-fixture.js'

const topics = defineTopics({ 'order.created': z.object({ ref: z.string() }) })
const database = useDatabase()
beforeAll(() => database().pool.query(orders))

/** What the application and the log have of an order. */
async function stored(ref: string): Promise<{ orders: number; messages: number }> {
  const { rowCount } = await database().pool.query('select from app_orders where ref = $1', [ref])
  const messages = (await logged(database(), 'order.created')).filter(({ payload }) => payload.includes(`"${ref}"`))
  return { orders: rowCount ?? 0, messages: messages.length }
}

describe('publishing in a transaction', () => {
  it('of pg commits and rolls back with the data, request by request', async () => {
    @Controller('orders')
    class Orders {
      constructor(
        @Inject(pg.Pool) private readonly pool: pg.Pool,
        @InjectQueue() private readonly queue: Queue<typeof topics>,
      ) {}

      @Post(':ref/:end')
      @HttpCode(204)
      async place(@Param('ref') ref: string, @Param('end') end: string): Promise<void> {
        const client = await this.pool.connect()
        try {
          await client.query('begin')
          await client.query('insert into app_orders (ref) values ($1)', [ref])
          await this.queue.publish('order.created', { ref }, { tx: client })
          if (end === 'fails') throw new Error('no')
          await client.query('commit')
        } catch (error) {
          await client.query('rollback')
          throw error
        } finally {
          client.release()
        }
      }
    }
    const app = await createApp({
      imports: [WaybillModule.forRoot({ topics })],
      controllers: [Orders],
      providers: [{ provide: pg.Pool, useValue: database().pool }],
    })
    await app.listen(0, '127.0.0.1')
    const { port } = (app.getHttpServer() as { address(): AddressInfo }).address()
    const post = async (path: string): Promise<number> =>
      (await fetch(`http://127.0.0.1:${port}/orders/${path}`, { method: 'POST' })).status
    expect(await post('pg-1/commits')).toBe(204)
    expect(await post('pg-2/fails')).toBe(500)
    expect(await stored('pg-1')).toEqual({ orders: 1, messages: 1 })
    expect(await stored('pg-2')).toEqual({ orders: 0, messages: 0 })
  })

  it.each([
    ['1', typeorm1],
    // what is used of it is the same
    ['0.3', typeorm03 as unknown as typeof typeorm1],
  ])('of TypeORM %s commits and rolls back with the data', async (version, { DataSource }) => {
    @Injectable()
    class Orders {
      constructor(
        @Inject(DataSource) private readonly source: typeorm1.DataSource,
        @Inject(Queue) private readonly queue: Queue<typeof topics>,
      ) {}

      place(ref: string, fails: boolean): Promise<void> {
        return this.source.transaction(async (manager) => {
          await manager.query('insert into app_orders (ref) values ($1)', [ref])
          await this.queue.publish('order.created', { ref }, { tx: manager })
          if (fails) throw new RangeError('no')
        })
      }
    }
    const source = {
      provide: DataSource,
      useFactory: () => new DataSource({ type: 'postgres', url: database().url }).initialize(),
    }
    const app = await startApp({ imports: [WaybillModule.forRoot({ topics })], providers: [Orders, source] })
    const service = app.get(Orders)
    await service.place(`typeorm-${version}-1`, false)
    await expect(service.place(`typeorm-${version}-2`, true)).rejects.toThrow(RangeError)
    expect(await stored(`typeorm-${version}-1`)).toEqual({ orders: 1, messages: 1 })
    expect(await stored(`typeorm-${version}-2`)).toEqual({ orders: 0, messages: 0 })
    await app.get<typeorm1.DataSource>(DataSource).destroy()
  })
})

describe('the module', () => {
  const url = Symbol('url')
  @Injectable()
  class Options implements WaybillOptionsFactory {
    constructor(@Inject(url) private readonly connectionString: string) {}
    createWaybillOptions() {
      return { topics, connectionString: this.connectionString }
    }
  }
  const settings = () =>
    moduleOf({ providers: [{ provide: url, useValue: database().url }, Options], exports: [url, Options] })

  it.each([
    [
      'useFactory',
      () => ({ inject: [url], useFactory: async (connectionString: string) => ({ topics, connectionString }) }),
    ],
    ['useClass', () => ({ useClass: Options })],
    ['useExisting', () => ({ useExisting: Options })],
  ])('takes options from %s, and closes its queue at shutdown', async (how, making) => {
    const app = await startApp({ imports: [WaybillModule.forRootAsync({ imports: [settings()], ...making() })] })
    const queue = app.get<Queue<typeof topics>>(Queue)
    await queue.publish('order.created', { ref: how }, { tx: null })
    expect(await stored(how)).toEqual({ orders: 0, messages: 1 })
    await app.close()
    await expect(queue.publish('order.created', { ref: how }, { tx: null })).rejects.toMatchObject({
      code: 'WAYBILL_QUEUE_CLOSED',
    })
    await sessionsEnd(database(), 'publisher (waybill)')
  })

  it('leaves open a pool that it was given', async () => {
    const app = await startApp({ imports: [WaybillModule.forRoot({ topics, pool: database().pool })] })
    await app.get<Queue<typeof topics>>(Queue).publish('order.created', { ref: 'given' }, { tx: null })
    await app.close()
    expect(await stored('given')).toEqual({ orders: 0, messages: 1 })
  })

  it('is global where it is told so, and only then', async () => {
    @Injectable()
    class Inner {
      constructor(@InjectQueue() readonly queue: Queue) {}
    }
    const inner = moduleOf({ providers: [Inner] })
    const app = await startApp({ imports: [WaybillModule.forRoot({ isGlobal: true }), inner] })
    expect(app.get(Inner, { strict: false }).queue).toBeInstanceOf(Queue)
    await expect(startApp({ imports: [WaybillModule.forRoot({}), inner] })).rejects.toThrow(/resolve dependencies/)
  })

  it('has a queue for each database by its name', async () => {
    const other = await createTestDatabase()
    const app = await startApp({
      imports: [
        WaybillModule.forRoot({ pool: database().pool }),
        WaybillModule.forRootAsync({ name: 'billing', useFactory: () => ({ pool: other.pool }) }),
      ],
    })
    await app.get<Queue>(getQueueToken('billing')).publish('name.billing', 1, { tx: null })
    await app.get<Queue>(getQueueToken()).publish('name.none', 1, { tx: null })
    expect(await logged(other, 'name.billing')).toHaveLength(1)
    expect(await logged(database(), 'name.none')).toHaveLength(1)
    expect(await logged(other, 'name.none')).toEqual([])
  })
})
