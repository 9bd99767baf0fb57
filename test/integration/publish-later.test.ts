import { beforeAll, describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { inTransaction, logged, scheduled, withClient } from './publish-fixture.js'

const database = useDatabase()
let queue: Queue
beforeAll(() => void (queue = new Queue({ pool: database().pool })))
const tx = null

describe('messages for later', () => {
  it('wait for a delay by the clock of the database', async () => {
    await queue.publish('later.text', 1, { tx, delay: '5m' })
    await queue.publish('later.number', 1, { tx, delay: 90_500 })
    await queue.publishMany(
      [
        { topic: 'later.many', payload: 1, delay: '2h', key: 'k' },
        { topic: 'later.many', payload: 2 },
      ],
      { tx },
    )
    for (const [topic, seconds] of [
      ['later.text', 300],
      ['later.number', 90.5],
      ['later.many', 7200],
    ] as const) {
      const rows = await scheduled(database(), topic)
      expect(rows).toHaveLength(1)
      expect(rows[0]?.seconds).toBeGreaterThan(seconds - 5)
      expect(rows[0]?.seconds).toBeLessThanOrEqual(seconds)
    }
    expect(await logged(database(), 'later.many')).toMatchObject([{ payload: '2', key: null }])
  })

  it('wait for a time, to the millisecond', async () => {
    const at = new Date(Date.now() + 3_600_123)
    await queue.publish('later.at', 1, { tx, at })
    await queue.publishMany([{ topic: 'later.at', payload: 1, at }], { tx })
    expect((await scheduled(database(), 'later.at')).map((row) => row.run_at)).toEqual([at, at])
    const far = new Date('2099-12-31T23:59:59.999Z')
    await queue.publish('later.far', 1, { tx, at: far })
    expect(await scheduled(database(), 'later.far')).toMatchObject([{ run_at: far }])
  })

  it('go into the log at once when their time has passed', async () => {
    await queue.publish('later.past', 1, { tx, at: new Date(0) })
    await queue.publish('later.past', 2, { tx, delay: 0 })
    await queue.publishMany([{ topic: 'later.past', payload: 3, at: new Date('0001-01-01T00:00:00Z') }], { tx })
    expect(await logged(database(), 'later.past')).toHaveLength(3)
  })
})

describe('cancel', () => {
  it('takes back what is scheduled, in the same transaction or a later one', async () => {
    await withClient(database(), async (client) => {
      await inTransaction(client, async () => {
        const id = await queue.publish('cancel.same', 1, { tx: client, delay: '1h' })
        expect(await queue.cancel(id, { tx: client })).toBe(true)
        expect(await queue.cancel(id, { tx: client })).toBe(false)
      })
      const id = await queue.publish('cancel.later', 1, { tx, delay: '1h' })
      await client.query('begin')
      expect(await queue.cancel(id, { tx: client })).toBe(true)
      await client.query('rollback')
      expect(await scheduled(database(), 'cancel.later')).toMatchObject([{ id }])
      expect(await queue.cancel(id.toUpperCase(), { tx })).toBe(true)
    })
    expect(await scheduled(database(), 'cancel.same')).toEqual([])
    expect(await scheduled(database(), 'cancel.later')).toEqual([])
  })

  it('says false for what is in the log, and refuses what is no id', async () => {
    const id = await queue.publish('cancel.published', 1, { tx })
    expect(await queue.cancel(id, { tx })).toBe(false)
    await expect(queue.cancel('42', { tx })).rejects.toMatchObject({ problems: [{ path: 'id' }] })
  })
})

describe('dedupe keys', () => {
  it('give the first id, and write once for each topic', async () => {
    const first = await queue.publish('dedupe.a', 1, { tx, dedupeKey: 'order 1' })
    expect(await queue.publish('dedupe.a', 2, { tx, dedupeKey: 'order 1' })).toBe(first)
    expect(await queue.publish('dedupe.b', 1, { tx, dedupeKey: 'order 1' })).not.toBe(first)
    const list = ['order 2', 'order 1', 'order 2', undefined].map((dedupeKey) => ({
      topic: 'dedupe.a',
      payload: 3,
      dedupeKey,
    }))
    const ids = await queue.publishMany(list, { tx })
    expect(ids[1]).toBe(first)
    expect(ids[2]).toBe(ids[0])
    expect((await logged(database(), 'dedupe.a')).map((row) => row.id)).toEqual([first, ids[0], ids[3]])
  })

  it('count for what is scheduled too', async () => {
    const first = await queue.publish('dedupe.later', 1, { tx, dedupeKey: 'x', delay: '1h' })
    expect(await queue.publish('dedupe.later', 2, { tx, dedupeKey: 'x' })).toBe(first)
    expect(await logged(database(), 'dedupe.later')).toEqual([])
  })

  it('are free again when the first publish rolled back', async () => {
    await withClient(database(), async (client) => {
      await client.query('begin')
      const lost = await queue.publish('dedupe.rollback', 1, { tx: client, dedupeKey: 'x' })
      await client.query('rollback')
      expect(await queue.publish('dedupe.rollback', 2, { tx, dedupeKey: 'x' })).not.toBe(lost)
    })
  })

  it('expire with their window', async () => {
    const windows = { 'dedupe.default': undefined, 'dedupe.text': '90m', 'dedupe.list': 1500 }
    await queue.publish('dedupe.default', 1, { tx, dedupeKey: 'x' })
    await queue.publish('dedupe.text', 1, { tx, dedupeKey: 'x', dedupeWindow: windows['dedupe.text'] })
    await queue.publishMany([{ topic: 'dedupe.list', payload: 1, dedupeKey: 'x', dedupeWindow: 1500 }], { tx })
    const { rows } = await database().pool.query<{ topic: string; seconds: number }>(
      `select k.topic, extract(epoch from k.expires_at - coalesce(m.created_at, now()))::float8 as seconds
         from waybill.dedupe_keys k join waybill.messages m on m.id = k.message_id
        where k.topic in ('dedupe.default', 'dedupe.text', 'dedupe.list') order by 1`,
    )
    expect(rows.map((row) => [row.topic, Math.round(row.seconds)])).toEqual([
      ['dedupe.default', 86_400],
      ['dedupe.list', expect.closeTo(1.5, -1)],
      ['dedupe.text', 5400],
    ])
    await database().pool.query(
      `update waybill.dedupe_keys set expires_at = clock_timestamp() where topic = 'dedupe.text'`,
    )
    const again = await queue.publish('dedupe.text', 2, { tx, dedupeKey: 'x' })
    expect((await logged(database(), 'dedupe.text')).map((row) => row.payload)).toEqual(['1', '2'])
    expect(await queue.publish('dedupe.text', 3, { tx, dedupeKey: 'x' })).toBe(again)
  })
})
