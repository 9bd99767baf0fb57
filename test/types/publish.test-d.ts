import { type } from 'arktype'
import { expectTypeOf } from 'expect-type'
import type pg from 'pg'
import * as v from 'valibot'
import { describe, it } from 'vitest'
import { z } from 'zod'
import {
  defineTopics,
  Queue,
  rawJson,
  type JsonLike,
  type PayloadOf,
  type PrismaTransaction,
  type RawJson,
  type StoredPayloadOf,
  type Transaction,
} from '../../src/index.js'

const topics = defineTopics({
  'order.created': z.object({ id: z.string(), placedAt: z.date().transform((date) => date.toISOString()) }),
  'order.paid': v.object({ id: v.string(), cents: v.number() }),
  'order.sent': type({ id: 'string', 'parcel?': 'string' }),
})
const queue = new Queue({ topics })
declare const client: pg.Client
declare const poolClient: pg.PoolClient
declare const pool: pg.Pool
declare const prismaTx: {
  $queryRawUnsafe<T = unknown>(query: string, ...values: unknown[]): Promise<T>
  $transaction(): void
}
declare const prisma: typeof prismaTx & { $connect(): Promise<void> }
const tx = null
const placedAt = new Date()

describe('publish', () => {
  it('takes the topics that are defined, with the input of their schema', () => {
    expectTypeOf(queue.publish('order.created', { id: 'o1', placedAt }, { tx })).toEqualTypeOf<Promise<string>>()
    void queue.publish('order.paid', { id: 'o1', cents: 1 }, { tx })
    void queue.publish('order.sent', { id: 'o1' }, { tx })
    void queue.publish('order.sent', rawJson('{}'), { tx })
    // @ts-expect-error not a topic of this queue
    void queue.publish('order.lost', { id: 'o1' }, { tx })
    // @ts-expect-error the output is not the input
    void queue.publish('order.created', { id: 'o1', placedAt: '2030-01-01' }, { tx })
    // @ts-expect-error a member is missing
    void queue.publish('order.paid', { id: 'o1' }, { tx })
    // @ts-expect-error a member has the wrong type
    void queue.publish('order.sent', { id: 1 }, { tx })
    // @ts-expect-error the payload of another topic
    void queue.publish('order.paid', { id: 'o1', placedAt }, { tx })
  })

  it('cannot be called without saying in which transaction', () => {
    // @ts-expect-error no options
    void queue.publish('order.sent', { id: 'o1' })
    // @ts-expect-error no tx
    void queue.publish('order.sent', { id: 'o1' }, { key: 'o1' })
    // @ts-expect-error undefined is no transaction
    void queue.publish('order.sent', { id: 'o1' }, { tx: undefined })
    // @ts-expect-error no tx
    void queue.publishMany([], {})
    // @ts-expect-error no tx
    void queue.cancel('id')
  })

  it('takes clients, and neither pools nor a PrismaClient', () => {
    expectTypeOf(client).toExtend<Transaction>()
    expectTypeOf(poolClient).toExtend<Transaction>()
    expectTypeOf(prismaTx).toExtend<PrismaTransaction>()
    expectTypeOf<{ query(sql: string, parameters?: unknown[]): Promise<unknown[]> }>().toExtend<Transaction>()
    void queue.publish('order.sent', { id: 'o1' }, { tx: client })
    void queue.publish('order.sent', { id: 'o1' }, { tx: poolClient })
    void queue.publish('order.sent', { id: 'o1' }, { tx: prismaTx })
    // @ts-expect-error each statement on a pool is a transaction of its own
    void queue.publish('order.sent', { id: 'o1' }, { tx: pool })
    // @ts-expect-error so is each on a PrismaClient
    void queue.publish('order.sent', { id: 'o1' }, { tx: prisma })
    // @ts-expect-error a promise of a client
    void queue.publish('order.sent', { id: 'o1' }, { tx: pool.connect() })
  })

  it('knows its options', () => {
    void queue.publish('order.sent', { id: 'o1' }, { tx, delay: '5m', key: null, headers: { a: 'b' }, to: ['crm'] })
    // @ts-expect-error a misspelt option
    void queue.publish('order.sent', { id: 'o1' }, { tx, dely: '5m' })
    // @ts-expect-error a Date, not text
    void queue.publish('order.sent', { id: 'o1' }, { tx, at: '2030-01-01' })
    // @ts-expect-error header values are text
    void queue.publish('order.sent', { id: 'o1' }, { tx, headers: { a: 1 } })
  })
})

describe('publishMany', () => {
  it('pairs each topic with its own payload', () => {
    const list = queue.publishMany(
      [
        { topic: 'order.paid', payload: { id: 'o1', cents: 1 }, key: 'o1' },
        { topic: 'order.sent', payload: { id: 'o1' }, delay: 5 },
      ],
      { tx: client },
    )
    expectTypeOf(list).toEqualTypeOf<Promise<string[]>>()
    // @ts-expect-error the payload of another topic
    void queue.publishMany([{ topic: 'order.paid', payload: { id: 'o1' } }], { tx })
    // @ts-expect-error one transaction for the whole list
    void queue.publishMany([{ topic: 'order.sent', payload: { id: 'o1' }, tx }], { tx })
  })
})

describe('types of payloads', () => {
  it('are the input to publish and the output to consume', () => {
    expectTypeOf<PayloadOf<typeof topics, 'order.created'>>().toEqualTypeOf<{ id: string; placedAt: Date } | RawJson>()
    expectTypeOf<StoredPayloadOf<typeof topics, 'order.created'>>().toEqualTypeOf<{ id: string; placedAt: string }>()
  })

  it('are any JSON for a list of names, and for a queue without topics any topic', () => {
    const listed = new Queue({ topics: defineTopics(['a.b', 'c']), pool })
    void listed.publish('a.b', { any: ['json', 1, null, new Date(), undefined].slice(0, 4) as JsonLike }, { tx })
    // @ts-expect-error not listed
    void listed.publish('d', 1, { tx })
    const open = new Queue({ pool })
    void open.publish('any.topic', { a: [{ b: 1 }], c: undefined, d: new Date() }, { tx })
    // @ts-expect-error JSON has no form for a BigInt
    void open.publish('any.topic', { a: 1n }, { tx })
    // @ts-expect-error nor for a Map
    void open.publish('any.topic', new Map(), { tx })
    // @ts-expect-error nor for a function
    void open.publish('any.topic', { a: () => 1 }, { tx })
  })

  it('are schemas, and nothing else', () => {
    // @ts-expect-error not a Standard Schema
    defineTopics({ 'a.b': 'string' })
    // @ts-expect-error a pool is something to query
    new Queue({ pool: 'postgres://…' })
  })
})
