import { type } from 'arktype'
import fc from 'fast-check'
import * as v from 'valibot'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineTopics, Queue, rawJson, type JsonLike } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { logged } from './publish-fixture.js'

const database = useDatabase()
let queue: Queue
beforeAll(() => void (queue = new Queue({ pool: database().pool })))
const tx = null

async function only(topic: string) {
  const rows = await logged(database(), topic)
  expect(rows).toHaveLength(1)
  return rows[0]
}

describe('what is stored', () => {
  it.each<[string, JsonLike]>([
    ['null', null],
    ['false', false],
    ['text', `quotes ' " \\ $1 {a,b} %s \n \t`],
    ['unicode', '😀 é 漢字 \u2028'],
    ['numbers', [0, -0, 0.1, 1e21, 5e-324, Number.MAX_SAFE_INTEGER, 1.7976931348623157e308]],
    ['nothing', {}],
    ['members', { z: 1, a: undefined, '': 2, 'a b': [[], {}] }],
    ['dates', { at: new Date('2030-01-02T03:04:05.678Z') }],
    ['escapes', '\u0001\u001f\\u0000'],
  ])('is what JSON.stringify makes of it, byte for byte: %s', async (name, payload) => {
    await queue.publish(`one.${name}`, payload, { tx })
    await queue.publishMany([{ topic: `many.${name}`, payload }], { tx })
    expect((await only(`one.${name}`))?.payload).toBe(JSON.stringify(payload))
    expect((await only(`many.${name}`))?.payload).toBe(JSON.stringify(payload))
  })

  it('is what JSON.stringify makes of it, for any payload, key and header', async () => {
    const text = fc.string({ unit: 'grapheme' })
    const visible = text.filter((s) => !/[\p{Control}\p{Surrogate}]/u.test(s))
    const json = fc.jsonValue({ maxDepth: 3 }).filter((value) => !/\\u0000/.test(JSON.stringify(value)))
    const message = fc.record({
      payload: json,
      key: fc.option(visible.filter((s) => s !== '' && Buffer.byteLength(s) <= 1024)),
      headers: fc.dictionary(fc.stringMatching(/^[a-z0-9!#$%&'*+.^_`|~-]{1,20}$/), visible, { maxKeys: 4 }),
    })
    let run = 0
    await fc.assert(
      fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 10 }), async (messages) => {
        const topic = `any.${run++}`
        const [first, ...rest] = messages.map((each) => ({ topic, ...each, payload: each.payload }))
        if (first) await queue.publish(topic, first.payload, { tx, key: first.key, headers: first.headers })
        await queue.publishMany(rest, { tx })
        const rows = await logged(database(), topic)
        expect(rows.map((row) => row.payload)).toEqual(messages.map(({ payload }) => JSON.stringify(payload)))
        expect(rows.map((row) => row.key)).toEqual(messages.map(({ key }) => key))
        expect(rows.map((row) => JSON.parse(row.headers ?? '{}') as unknown)).toEqual(
          messages.map(({ headers }) => ({ ...headers })),
        )
      }),
      { numRuns: 60 },
    )
  })

  it('of rawJson is its text', async () => {
    const text = ' {"b" : 12345678901234567890.10, "a":"\\u0000\\ud800", "a":1}\n'
    await queue.publish('raw.one', rawJson(text), { tx })
    await queue.publishMany([{ topic: 'raw.many', payload: rawJson(text) }], { tx })
    expect((await only('raw.one'))?.payload).toBe(text)
    expect((await only('raw.many'))?.payload).toBe(text)
  })

  it('may have 1 MiB, and not a byte more', async () => {
    const most = 'x'.repeat(1024 * 1024 - 2)
    await queue.publish('size.most', most, { tx })
    expect((await only('size.most'))?.payload).toHaveLength(1024 * 1024)
    await expect(queue.publish('size.more', `${most}x`, { tx })).rejects.toMatchObject({
      code: 'WAYBILL_PAYLOAD_TOO_LARGE',
    })
    // raised here and not in the database
    const larger = new Queue({ pool: database().pool, maxPayloadBytes: 2 ** 21 })
    await expect(larger.publish('size.more', `${most}x`, { tx })).rejects.toMatchObject({
      code: 'WAYBILL_PUBLISH_INVALID',
      message: expect.stringContaining('waybill.set_limits') as string,
    })
  })

  it('has no key and no headers unless given, and header names in lower case', async () => {
    await queue.publish('bare', 1, { tx })
    expect(await only('bare')).toMatchObject({ key: null, headers: null, destinations: null })
    await queue.publish('dressed', 1, { tx, key: 'k', headers: { 'X-Tenant': 'acme "1"' } })
    expect(await only('dressed')).toMatchObject({ key: 'k', headers: '{"x-tenant":"acme \\"1\\""}' })
  })

  it('is the output of the schema, of whichever library', async () => {
    const topics = defineTopics({
      'schema.zod': z.object({
        id: z.string().trim(),
        n: z.bigint().transform(String),
        gone: z.undefined().optional(),
      }),
      'schema.valibot': v.objectAsync({
        id: v.pipeAsync(
          v.string(),
          v.transformAsync(async (id) => id.toUpperCase()),
        ),
      }),
      'schema.arktype': type({ at: type('Date').pipe((date) => date.getTime()) }),
    })
    const typed = new Queue({ topics, pool: database().pool })
    await typed.publish('schema.zod', { id: ' o1 ', n: 9007199254740993n }, { tx })
    await typed.publish('schema.valibot', { id: 'o1' }, { tx })
    await typed.publish('schema.arktype', { at: new Date(5) }, { tx })
    expect((await only('schema.zod'))?.payload).toBe('{"id":"o1","n":"9007199254740993"}')
    expect((await only('schema.valibot'))?.payload).toBe('{"id":"O1"}')
    expect((await only('schema.arktype'))?.payload).toBe('{"at":5}')
    // text as it is, once the schema takes its value
    await expect(typed.publish('schema.valibot', rawJson('{"id":1}'), { tx })).rejects.toMatchObject({
      code: 'WAYBILL_PAYLOAD_INVALID',
    })
    await typed.publish('schema.valibot', rawJson('{ "id":"o2" }'), { tx })
    expect((await logged(database(), 'schema.valibot'))[1]?.payload).toBe('{ "id":"o2" }')
  })
})

describe('ids', () => {
  it('are uuids v7 that sort as they were drawn, and the caller may bring one', async () => {
    const ids = await queue.publishMany(
      Array.from({ length: 1000 }, (_, i) => ({ topic: 'ids', payload: i })),
      { tx },
    )
    expect(ids).toEqual([...ids].sort())
    expect(ids.every((id) => /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))).toBe(
      true,
    )
    const id = 'F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6'
    expect(await queue.publish('ids.own', 1, { tx, id })).toBe(id.toLowerCase())
  })
})

describe('a list', () => {
  it('of 10,000 is one statement, in order', async () => {
    const messages = Array.from({ length: 10_000 }, (_, i) => ({
      topic: 'list',
      payload: { i },
      key: i % 3 ? `k${i}` : null,
    }))
    const ids = await queue.publishMany(messages, { tx })
    const rows = await logged(database(), 'list')
    expect(rows.map((row) => row.id)).toEqual(ids)
    expect(rows.map((row) => row.payload)).toEqual(messages.map(({ payload }) => JSON.stringify(payload)))
    expect(rows.map((row) => row.key)).toEqual(messages.map(({ key }) => key))
  })

  it('with one bad element writes nothing', async () => {
    const messages = [1, NaN, 3].map((payload) => ({ topic: 'list.bad', payload }))
    await expect(queue.publishMany(messages, { tx })).rejects.toMatchObject({
      problems: [{ path: 'messages[1].payload' }],
    })
    expect(await logged(database(), 'list.bad')).toEqual([])
  })
})

describe('to', () => {
  beforeAll(async () => {
    await database().pool.query(`insert into waybill.destinations (name, kind, generation, configured)
      values ('crm', 'webhook', 1, true), ('the "old", one', 'webhook', 1, true), ('gone', 'webhook', 1, false)`)
  })

  it('sends to exactly these destinations', async () => {
    const to = ['crm', 'the "old", one']
    await queue.publish('to.one', 1, { tx, to })
    await queue.publishMany(
      [
        { topic: 'to.many', payload: 1, to },
        { topic: 'to.routed', payload: 1 },
      ],
      { tx },
    )
    expect((await only('to.one'))?.destinations).toEqual(to)
    expect((await only('to.many'))?.destinations).toEqual(to)
    expect((await only('to.routed'))?.destinations).toBeNull()
  })

  it.each(['nobody', 'gone'])('refuses %s', async (name) => {
    await expect(queue.publish('to.refused', 1, { tx, to: ['crm', name] })).rejects.toMatchObject({
      code: 'WAYBILL_PUBLISH_INVALID',
    })
    expect(await logged(database(), 'to.refused')).toEqual([])
  })
})
