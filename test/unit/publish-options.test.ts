import * as v from 'valibot'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { defineTopics, InputError, Queue, type MessageOptions, type WaybillError } from '../../src/index.js'

// Nothing listens there: a message that passes the checks fails with another error than an InputError.
const nowhere = 'postgres://127.0.0.1:1/none'
const queue = new Queue({ connectionString: nowhere })

async function refusal(work: Promise<unknown>): Promise<InputError> {
  const error = await work.then(
    () => undefined,
    (caught: unknown) => caught,
  )
  expect(error).toBeInstanceOf(InputError)
  return error as InputError
}
const paths = (error: InputError) => error.problems.map((problem) => problem.path)

describe('options of a message', () => {
  it.each<[string, unknown, string[]]>([
    ['an empty key', { key: '' }, ['key']],
    ['a key of 1,025 bytes', { key: 'é'.repeat(512) + 'x' }, ['key']],
    ['a key with a control character', { key: 'a\nb' }, ['key']],
    ['a key with NUL', { key: 'a\0' }, ['key']],
    ['a key with half a pair', { key: '\ud800' }, ['key']],
    ['a key that is a number', { key: 7 }, ['key']],
    ['a lock without a key', { keyLock: true }, ['keyLock']],
    ['an id that is no uuid', { id: '7' }, ['id']],
    ['delay and at', { delay: 1, at: new Date() }, ['at']],
    ['a delay that is no duration', { delay: '5 parsecs' }, ['delay']],
    ['a negative delay', { delay: -1 }, ['delay']],
    ['a delay of null', { delay: null }, ['delay']],
    ['a delay of centuries', { delay: '99999999d' }, ['delay']],
    ['an at that is text', { at: '2030-01-01' }, ['at']],
    ['an invalid at', { at: new Date(NaN) }, ['at']],
    ['a window without a key', { dedupeWindow: '1h' }, ['dedupeWindow']],
    ['an empty dedupe key', { dedupeKey: '' }, ['dedupeKey']],
    ['a dedupe key of 513 bytes', { dedupeKey: 'x'.repeat(513) }, ['dedupeKey']],
    ['no destination', { to: [] }, ['to']],
    ['destinations that are text', { to: 'crm' }, ['to']],
    ['a destination that is no name', { to: ['crm', ''] }, ['to[1]']],
    ['headers that are a list', { headers: [] }, ['headers']],
    ['headers that are a Map', { headers: new Map() }, ['headers']],
    ['a header given twice', { headers: { 'X-A': '1', 'x-a': '2' } }, ['headers.x-a']],
    ['a header name with a space', { headers: { 'a b': '1' } }, ['headers["a b"]']],
    ['a header value with a line break', { headers: { a: '1\r\nb: 2' } }, ['headers.a']],
    ['a header value that is a number', { headers: { a: 1 } }, ['headers.a']],
    ['an option that does not exist', { dely: '5m' }, ['dely']],
    ['several', { key: '', id: 'x', to: [] }, ['key', 'id', 'to']],
  ])('%s is refused', async (_name, options, expected) => {
    const error = await refusal(queue.publish('a.b', 1, { tx: null, ...(options as MessageOptions) }))
    expect(error.code).toBe('WAYBILL_PUBLISH_INVALID')
    expect(paths(error)).toEqual(expected)
  })

  it.each(['', 'a b', '.a', 'a..b', 'a.*', 'x'.repeat(256), 7 as never])('topic %j is refused', async (topic) => {
    expect(paths(await refusal(queue.publish(topic, 1, { tx: null })))).toEqual(['topic'])
  })

  it('a payload over the limit is refused, counted in bytes of UTF-8', async () => {
    const small = new Queue({ connectionString: nowhere, maxPayloadBytes: 10 })
    const error = await refusal(small.publish('a.b', 'ééééé', { tx: null }))
    expect(error.code).toBe('WAYBILL_PAYLOAD_TOO_LARGE')
    expect(error.message).toContain('has 12 bytes of JSON, more than 10')
    await expect(small.publish('a.b', 'éééé', { tx: null })).rejects.not.toBeInstanceOf(InputError)
    await small.close()
  })
})

describe('a list', () => {
  it('names every element at fault', async () => {
    const list = [
      { topic: 'a.b', payload: 1 },
      { topic: 'a b', payload: 1 },
      { topic: 'a.b', payload: { x: NaN } },
      null,
    ]
    const error = await refusal(queue.publishMany(list as never, { tx: null }))
    expect(paths(error)).toEqual(['messages[1].topic', 'messages[2].payload.x', 'messages[3]'])
  })

  it('names the elements that an asynchronous schema refuses', async () => {
    const topics = defineTopics({ slow: z.number().refine((n) => Promise.resolve(n > 0), 'must be positive') })
    const slow = new Queue({ topics, connectionString: nowhere })
    const payloads = [1, -1, 2, -2].map((payload) => ({ topic: 'slow' as const, payload }))
    expect(paths(await refusal(slow.publishMany(payloads, { tx: null })))).toEqual([
      'messages[1].payload',
      'messages[3].payload',
    ])
  })

  it('of more than 50,000 is refused; a tx of one element too', async () => {
    const many = new Array(50_001).fill({ topic: 'a.b', payload: 1 }) as { topic: string; payload: number }[]
    expect(paths(await refusal(queue.publishMany(many, { tx: null })))).toEqual(['messages'])
    const own = [{ topic: 'a.b', payload: 1, tx: null }]
    expect(paths(await refusal(queue.publishMany(own, { tx: null })))).toEqual(['messages[0].tx'])
    expect(paths(await refusal(queue.publishMany({} as never, { tx: null })))).toEqual(['messages'])
  })

  it('that is empty runs no statement', async () => {
    await expect(queue.publishMany([], { tx: null })).resolves.toEqual([])
  })
})

describe('topics', () => {
  const topics = defineTopics({
    'order.created': z.object({ id: z.string(), items: z.array(z.object({ price: z.number() })) }),
    'order.paid': v.object({ id: v.string() }),
  })
  const typed = new Queue({ topics, connectionString: nowhere })

  it('a payload that does not fit is refused with the path of the field', async () => {
    const bad = { id: 'o1', items: [{ price: 1 }, { price: 'two' }] }
    const error = await refusal(typed.publish('order.created', bad as never, { tx: null }))
    expect(error.code).toBe('WAYBILL_PAYLOAD_INVALID')
    expect(paths(error)).toEqual(['payload.items[1].price'])
    expect(paths(await refusal(typed.publish('order.paid', { id: 1 } as never, { tx: null })))).toEqual(['payload.id'])
  })

  it('a topic that is not defined is refused, with the nearest one', async () => {
    const error = await refusal(typed.publish('order.payed' as never, { id: 'o1' } as never, { tx: null }))
    expect(error.code).toBe('WAYBILL_UNKNOWN_TOPIC')
    expect(error.message).toContain('did you mean "order.paid"?')
    expect((await refusal(typed.publish('toString' as never, 1 as never, { tx: null }))).code).toBe(
      'WAYBILL_UNKNOWN_TOPIC',
    )
  })

  it('names and schemas are checked when they are declared', () => {
    expect(() => defineTopics({ 'a b': z.string(), c: {} as never })).toThrow(
      /topics\["a b"\].*\n.*topics\.c: .*not a Standard Schema/s,
    )
    expect(() => defineTopics(['a.*'])).toThrow(InputError)
    expect(Object.keys(defineTopics(['a.b', 'c']))).toEqual(['a.b', 'c'])
  })
})

describe('a queue', () => {
  const closing: Queue[] = []
  afterEach(() => Promise.all(closing.splice(0).map((each) => each.close())))

  it.each<[string, unknown, string[]]>([
    ['an unknown option', { topcis: {} }, ['topcis']],
    ['two databases', { pool: { query: () => undefined }, connectionString: nowhere }, ['connectionString']],
    ['a pool that is none', { pool: {} }, ['pool']],
    ['an empty connection string', { connectionString: '' }, ['connectionString']],
    ['limits that are none', { maxPayloadBytes: 0, maxConnections: 1.5 }, ['maxConnections', 'maxPayloadBytes']],
  ])('refuses %s', (_name, options, expected) => {
    try {
      new Queue(options as never)
      expect.unreachable()
    } catch (error) {
      expect(paths(error as InputError)).toEqual(expected)
    }
  })

  it('says which transaction handles are none, before it looks at the message', async () => {
    const code = (tx: unknown) =>
      queue.publish('not a topic', 1, { tx } as never).catch((error: unknown) => (error as WaybillError).code)
    expect(await code(undefined)).toBe('WAYBILL_TX_REQUIRED')
    expect(await code({})).toBe('WAYBILL_TX_INVALID')
    expect(await code('begin')).toBe('WAYBILL_TX_INVALID')
    expect(await code(Promise.resolve({ query: () => undefined }))).toBe('WAYBILL_TX_INVALID')
    // a promise and a query() at once: Knex's un-awaited transaction
    const thenable = { query: () => undefined, then: () => undefined }
    expect(paths(await refusal(queue.publish('a.b', 1, { tx: thenable } as never)))).toEqual(['tx'])
    expect(paths(await refusal(queue.publish('a.b', 1, {} as never)))).toEqual(['tx'])
    await expect((queue.publish as (...a: unknown[]) => Promise<unknown>).call(queue, 'a.b', 1)).rejects.toMatchObject({
      code: 'WAYBILL_TX_REQUIRED',
    })
    await expect(queue.cancel('x', {} as never)).rejects.toMatchObject({ code: 'WAYBILL_TX_REQUIRED' })
  })

  it('without a database of its own takes no tx: null, and closed nothing at all', async () => {
    const bare = new Queue()
    closing.push(bare)
    expect(paths(await refusal(bare.publish('a.b', 1, { tx: null })))).toEqual(['tx'])
    await bare.close()
    await bare.close()
    await expect(bare.publish('a.b', 1, { tx: null })).rejects.toMatchObject({ code: 'WAYBILL_QUEUE_CLOSED' })
  })
})
