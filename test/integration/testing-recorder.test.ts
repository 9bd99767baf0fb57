import pg from 'pg'
import { beforeAll, afterAll, beforeEach, afterEach, describe, expect, it } from 'vitest'
import { Queue, rawJson, defineTopics } from '../../src/index.js'
import { recorder, type PublishedAssertionError } from '../../src/testing/index.js'
import { useDatabase, type TestDatabase } from '../support/database.js'
import { publish as publishBySql } from '../support/dispatching.js'

const queue = new Queue()

/** A connected client; what a test does on it is rolled back. */
function useRolledBack(database: () => TestDatabase): () => pg.Client {
  let client: pg.Client
  beforeAll(async () => {
    client = new pg.Client({ connectionString: database().url })
    await client.connect()
  })
  afterAll(() => client.end())
  beforeEach(() => client.query('begin'))
  afterEach(() => client.query('rollback'))
  return () => client
}

const stored = async (database: TestDatabase): Promise<number> => {
  const { rows } = await database.pool.query<{ n: number }>(
    `select ((select count(*) from waybill.messages) + (select count(*) from waybill.scheduled)
             + (select count(*) from waybill.dedupe_keys))::int as n`,
  )
  return rows[0]?.n ?? -1
}

const failureOf = async (failing: Promise<unknown>): Promise<PublishedAssertionError> =>
  failing.then(
    () => expect.fail('it did not fail'),
    (error: unknown) => error as PublishedAssertionError,
  )

describe.each(['pg18', 'pg15'] as const)('a recorder on %s', (server) => {
  const database = useDatabase({ server })
  const client = useRolledBack(database)

  it('sees what was published since it was made, as it will be delivered', async () => {
    const tx = client()
    await queue.publish('order.before', 0, { tx })
    await queue.publish('order.before', 0, { tx, delay: '1h' })
    const seen = await recorder({ tx })
    expect(await seen.published()).toEqual([])
    const at = new Date(Date.now() + 7_200_123)
    const ids = [
      await queue.publish('order.created', rawJson('{"total": 12.50}'), {
        tx,
        key: 'o1',
        headers: { 'X-Tenant': 'a' },
      }),
      ...(await queue.publishMany(
        [
          { topic: 'order.remind', payload: { n: 2 }, at },
          { topic: 'order.paid', payload: { n: 1 }, key: 'o1' },
          { topic: 'order.remind', payload: { n: 1 }, delay: '1h' },
        ],
        { tx },
      )),
    ]
    const found = await seen.published()
    expect(found).toEqual([
      {
        ...{ id: ids[0], topic: 'order.created', key: 'o1', payload: { total: 12.5 }, payloadText: '{"total": 12.50}' },
        ...{ headers: { 'x-tenant': 'a' }, to: null, at: null, delayMs: null },
      },
      expect.objectContaining({ id: ids[2], topic: 'order.paid', headers: {}, at: null }),
      expect.objectContaining({ id: ids[3], topic: 'order.remind', payload: { n: 1 }, at: expect.any(Date) as Date }),
      expect.objectContaining({ id: ids[1], topic: 'order.remind', at }),
    ])
    expect((await seen.published('order.remind')).map(({ id }) => id)).toEqual([ids[3], ids[1]])
    await seen.assertPublished('order.remind', { delay: '1h', payload: { n: 1 } })
    await seen.assertPublished('order.remind', { at, delay: (ms) => ms !== null && ms > 7_000_000 })
    await seen.assertPublished('order.paid', { at: null, delay: null })
    await seen.refutePublished('order.remind', { delay: '2m' })
    await seen.refutePublished('order.remind', { at: new Date(at.getTime() + 1) })
  })

  it('leaves nothing behind when the transaction is rolled back', async () => {
    const tx = client()
    const before = await stored(database())
    const seen = await recorder({ tx })
    await queue.publish('order.created', 1, { tx, dedupeKey: 'd' })
    await queue.publish('order.later', 1, { tx, delay: '1h' })
    expect(await seen.published()).toHaveLength(2)
    await tx.query('rollback')
    expect(await stored(database())).toBe(before)
    await expect(seen.published()).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
    await tx.query('begin')
    // the client is the same, the transaction another
    await queue.publish('order.created', 2, { tx })
    await expect(seen.published()).rejects.toThrow('make a recorder in each')
  })

  it('tells two recorders of one transaction apart', async () => {
    const tx = client()
    const first = await recorder({ tx })
    await queue.publish('order.created', 1, { tx })
    await queue.publish('order.later', 1, { tx, delay: '1h' })
    const second = await recorder({ tx })
    await queue.publish('order.created', 2, { tx })
    await queue.publish('order.later', 2, { tx, delay: '1m' })
    const payloads = async (of: typeof first) => (await of.published()).map(({ payload }) => payload)
    expect(await payloads(first)).toEqual([1, 2, 2, 1])
    expect(await payloads(second)).toEqual([2, 2])
  })

  it('sees through savepoints: what they keep, not what they roll back', async () => {
    const tx = client()
    await tx.query('savepoint outermost')
    const seen = await recorder({ tx })
    await tx.query('savepoint a')
    await queue.publish('order.created', 'a', { tx })
    await queue.publish('order.later', 'a', { tx, delay: '1h' })
    await tx.query('savepoint b')
    await queue.publish('order.created', 'b', { tx })
    await queue.publish('order.later', 'b', { tx, delay: '1h' })
    expect(await seen.published()).toHaveLength(4)
    await tx.query('rollback to b; release a; savepoint c')
    await queue.publish('order.created', 'c', { tx })
    await queue.publish('order.later', 'c', { tx, delay: '1h' })
    expect((await seen.published()).map(({ payload }) => payload)).toEqual(['a', 'c', 'a', 'c'])
    await seen.refutePublished('order.created', { payload: 'b' })
    await tx.query('rollback to outermost')
    expect(await seen.published()).toEqual([])
    await seen.refutePublished()
  })

  it('sees nothing of other transactions, whether they commit before, meanwhile or never', async () => {
    const tx = client()
    const others = await database().pool.connect()
    try {
      await others.query('begin; savepoint a')
      await queue.publish('order.created', 'other', { tx: others })
      await queue.publish('order.later', 'other', { tx: others, delay: '1h' })
      const seen = await recorder({ tx })
      await publishBySql(database().pool, 'order.created', 'committed')
      await database().pool.query(
        `select waybill.publish('order.later', '1', run_at => clock_timestamp() + interval '1 hour')`,
      )
      await queue.publish('order.created', 'mine', { tx })
      await queue.publish('order.later', 'mine', { tx, delay: '1h' })
      await others.query('commit')
      // they are visible here, and not ours
      expect((await tx.query('select from waybill.messages')).rowCount).toBeGreaterThanOrEqual(3)
      expect((await tx.query('select from waybill.scheduled')).rowCount).toBeGreaterThanOrEqual(3)
      expect((await seen.published()).map(({ payload }) => payload)).toEqual(['mine', 'mine'])
    } finally {
      others.release()
    }
  })

  it('is not misled by rows of a restored dump that name its transaction', async () => {
    const tx = client()
    const { rows } = await tx.query<{ xid: string }>('select pg_current_xact_id()::text as xid')
    const seen = await recorder({ tx })
    await database().pool.query(
      `insert into waybill.messages (xid, id, topic, payload) values ($1::xid8, gen_random_uuid(), 'order.created', '1')`,
      [rows[0]?.xid],
    )
    expect((await tx.query('select from waybill.messages where xid = pg_current_xact_id()')).rowCount).toBe(1)
    expect(await seen.published()).toEqual([])
  })

  it('sees a message once that was published twice under one dedupe key, and none that was cancelled', async () => {
    const tx = client()
    const seen = await recorder({ tx })
    const dedupeKey = `${server}-once`
    await queue.publish('order.created', 1, { tx, dedupeKey })
    await queue.publish('order.created', 2, { tx, dedupeKey })
    const id = await queue.publish('order.later', 3, { tx, delay: '1h' })
    await seen.assertPublished('order.later', { id })
    await queue.cancel(id, { tx })
    expect((await seen.published()).map(({ payload }) => payload)).toEqual([1])
  })

  it('works at every isolation level', async () => {
    const tx = client()
    for (const level of ['repeatable read', 'serializable']) {
      await tx.query(`rollback; begin isolation level ${level}`)
      const seen = await recorder({ tx })
      await publishBySql(database().pool, 'order.created', 'committed')
      await queue.publish('order.created', level, { tx })
      await queue.publish('order.later', level, { tx, delay: '1h' })
      expect((await seen.published()).map(({ payload }) => payload)).toEqual([level, level])
    }
  })

  it('gives the first message that fits', async () => {
    const tx = client()
    const seen = await recorder({ tx })
    const ids = await queue.publishMany(
      [1, 2, 3].map((n) => ({ topic: 'order.created', payload: { n, even: n % 2 === 0 } })),
      { tx },
    )
    expect(await seen.assertPublished('order.created')).toMatchObject({ id: ids[0] })
    expect(await seen.assertPublished('order.created', { payload: { even: true } })).toMatchObject({ id: ids[1] })
  })

  it('says what was published instead, and how the nearest differs', async () => {
    const tx = client()
    const seen = await recorder({ tx })
    const nothing = await failureOf(seen.assertPublished('order.created', { key: 'o1' }))
    expect(nothing.message).toMatchInlineSnapshot(`
      "this was not published in the transaction:
        order.created  key "o1"
      nothing was; what is published on another connection, or with tx: null, is not seen here"
    `)
    await queue.publish('order.created', { id: 'o2', lines: [{ sku: 'a', n: 2 }] }, { tx, key: 'o2' })
    await queue.publish('order.created', { id: 'o1', lines: [{ sku: 'a', n: 2 }] }, { tx, key: 'o1' })
    await queue.publish('order.paid', { note: 'x'.repeat(500) }, { tx, headers: { tenant: 'a' } })
    const expected = {
      key: 'o1',
      payload: { id: expect.any(String) as string, lines: [{ sku: 'a', n: 3 }], total: (n: number) => n > 0 },
      headers: { tenant: /^b/ },
    }
    const failure = await failureOf(seen.assertPublished('order.created', expected))
    expect(failure.message).toMatchInlineSnapshot(`
      "this was not published in the transaction:
        order.created  key "o1"  payload {"id":Any<String>,"lines":[{"sku":"a","n":3}],"total":(n) => n > 0}  headers {"tenant":/^b/}
      published instead (3):
        1. order.created  key "o2"  {"id":"o2","lines":[{"sku":"a","n":2}]}
        2. order.created  key "o1"  {"id":"o1","lines":[{"sku":"a","n":2}]}
        3. order.paid  no key  {"note":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (511 characters)  headers {"tenant":"a"}
      the nearest is 2. It differs in:
        payload.lines[0].n: expected 3, got 2
        payload.total: expected (n) => n > 0, got nothing
        headers.tenant: expected /^b/, got nothing"
    `)
    expect(failure).toMatchObject({
      ...{ name: 'AssertionError', code: 'WAYBILL_ASSERTION_FAILED', operator: 'assertPublished' },
      actual: { topic: 'order.created', key: 'o1', payload: { id: 'o1', lines: [{ sku: 'a', n: 2 }] }, headers: {} },
    })
    expect(failure.expected).toEqual({ topic: 'order.created', ...expected })
    expect((await failureOf(seen.assertPublished('order.sent'))).message).toMatchInlineSnapshot(`
      "this was not published in the transaction:
        order.sent
      published instead (3):
        1. order.created  key "o2"  {"id":"o2","lines":[{"sku":"a","n":2}]}
        2. order.created  key "o1"  {"id":"o1","lines":[{"sku":"a","n":2}]}
        3. order.paid  no key  {"note":"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx… (511 characters)  headers {"tenant":"a"}
      the nearest is 1. It differs in:
        topic: expected order.sent, got order.created"
    `)
    const refuted = await failureOf(seen.refutePublished('order.created', { payload: { id: 'o1' } }))
    expect(refuted.message).toMatchInlineSnapshot(`
      "this was not to be published in the transaction:
        order.created  payload {"id":"o1"}
      published (1):
        1. order.created  key "o1"  {"id":"o1","lines":[{"sku":"a","n":2}]}"
    `)
    expect(refuted).toMatchObject({ actual: [{ topic: 'order.created', payload: { id: 'o1' } }], expected: [] })
    expect((await failureOf(seen.refutePublished())).message).toContain('published (3):')
  })

  it('refuses what could never fail, or never hold', async () => {
    const tx = client()
    const topics = defineTopics(['order.created'])
    const seen = await recorder({ tx, topics })
    await queue.publish('order.created', { at: '2030-01-01T00:00:00.000Z' }, { tx })
    const refused = async (call: Promise<unknown>, code: string, said: string): Promise<void> =>
      expect(call).rejects.toMatchObject({ code, message: expect.stringContaining(said) as string })
    const invalid = (expected: unknown, said: string) =>
      refused(seen.refutePublished('order.created', expected as never), 'WAYBILL_TESTING_INVALID', said)
    await refused(
      seen.refutePublished('order.craeted' as never),
      'WAYBILL_UNKNOWN_TOPIC',
      'did you mean "order.created"',
    )
    await refused((await recorder({ tx })).published('order.*'), 'WAYBILL_TESTING_INVALID', 'topic: is not a topic')
    await invalid({ paylod: 1 }, 'did you mean "payload"')
    await invalid({ key: undefined }, 'key: is undefined')
    await invalid({ payload: () => undefined }, 'the predicate gave undefined')
    await invalid({ payload: async () => true }, 'the predicate gave a Promise')
    await invalid({ payload: { at: new Map() } }, 'payload.at: is a Map of 0')
    await invalid({ payload: 1n }, 'is a BigInt')
    await invalid({ delay: 'soon' }, 'is not a duration')
    await invalid([], 'is an empty array')
    await seen.assertPublished('order.created', { payload: { at: new Date('2030-01-01') } })
  })

  it('needs an open transaction that has not failed', async () => {
    const tx = client()
    await expect(recorder({} as never)).rejects.toMatchObject({ code: 'WAYBILL_TX_REQUIRED' })
    await expect(recorder({ tx: null as never })).rejects.toMatchObject({ code: 'WAYBILL_TX_REQUIRED' })
    await expect(recorder({ tx: database().pool as never })).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
    const seen = await recorder({ tx })
    await tx.query('select 1 / 0').catch(() => undefined)
    await expect(seen.published()).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
    await tx.query('rollback')
    await expect(recorder({ tx })).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
  })

  it('says what a role lacks that may publish and not read', async () => {
    const tx = client()
    await tx.query(`create role waybill_test_${server}_app; grant usage on schema waybill to waybill_test_${server}_app;
      set local role waybill_test_${server}_app`)
    await expect(recorder({ tx })).rejects.toMatchObject({
      code: 'WAYBILL_PERMISSION_DENIED',
      message: expect.stringContaining('waybill_reader') as string,
    })
  })
})
