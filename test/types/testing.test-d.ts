import { expectTypeOf } from 'expect-type'
import type pg from 'pg'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineTopics, rawJson } from '../../src/index.js'
import { deliverNow, type FakeDeliveries, type PublishedMessage, type Recorder } from '../../src/testing/index.js'
import type { waybillMatchers } from '../../src/testing/vitest.js'

const _topics = defineTopics({
  'order.created': z.object({ id: z.string(), lines: z.array(z.object({ sku: z.string(), n: z.number() })) }),
  'order.paid': z.object({ id: z.string() }),
})
declare const typed: Recorder<typeof _topics>
declare const any: Recorder
declare const tx: pg.Client
declare const pool: pg.Pool

describe('a recorder', () => {
  it('knows the payloads of its topics', () => {
    expectTypeOf(typed.published('order.paid')).toEqualTypeOf<Promise<PublishedMessage<{ id: string }>[]>>()
    expectTypeOf(typed.published()).toEqualTypeOf<Promise<PublishedMessage[]>>()
    expectTypeOf(any.published('any.topic')).toEqualTypeOf<Promise<PublishedMessage[]>>()
    // @ts-expect-error not one of the topics
    void typed.refutePublished('order.craeted')
  })

  it('takes a part of a payload, matchers and predicates at any depth', () => {
    void typed.assertPublished('order.created', { payload: { lines: [{ n: 1 }] }, key: null, at: null, to: ['crm'] })
    void typed.assertPublished('order.created', { payload: ({ lines }) => lines.length > 1, delay: '5m' })
    void typed.assertPublished('order.created', { payload: { lines: (lines) => lines[0]?.sku === 'a', id: /^o/ } })
    void typed.assertPublished('order.created', { payload: expect.objectContaining({ id: 'o1' }) as never })
    void typed.assertPublished('order.created', { payload: { id: { asymmetricMatch: () => true } } })
    void typed.assertPublished('order.created', { payload: rawJson('{}'), headers: { tenant: /a/ } })
    void any.assertPublished('any.topic', { payload: { whatever: [1, 'a', null] }, delay: (ms) => ms === null })
    // @ts-expect-error a member has the wrong type
    void typed.assertPublished('order.paid', { payload: { id: 1 } })
    // @ts-expect-error no such member
    void typed.assertPublished('order.paid', { payload: { total: 1 } })
    // @ts-expect-error no such field
    void typed.assertPublished('order.paid', { paylod: {} })
  })
})

describe('the matcher', () => {
  it('is known to vitest', () => {
    expectTypeOf<typeof waybillMatchers>().toHaveProperty('toHavePublished')
    expectTypeOf(expect(tx).toHavePublished('order.created', { key: 'o1' })).toEqualTypeOf<Promise<void>>()
    void expect(tx).not.toHavePublished('order.created')
    // @ts-expect-error no such field
    void expect(tx).toHavePublished('order.created', { paylod: {} })
  })
})

describe('deliverNow', () => {
  it('gives deliveries by the names of the fakes', () => {
    const done = deliverNow({ pool, destinations: { crm: () => undefined, mail: async () => 1 }, now: '+5m' })
    expectTypeOf(done).toEqualTypeOf<Promise<Readonly<Record<'crm' | 'mail', FakeDeliveries>>>>()
    // @ts-expect-error not forward
    void deliverNow({ pool, destinations: {}, now: '5m' })
  })
})
