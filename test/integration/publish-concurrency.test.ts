import { beforeAll, describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { inTransaction, logged, withClient } from './publish-fixture.js'

const database = useDatabase()
let queue: Queue
beforeAll(() => void (queue = new Queue({ pool: database().pool })))

/** Waits until as many sessions of this database wait for a lock. */
async function waiters(count: number): Promise<void> {
  const sql = `select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
  await waitFor(async () => (await database().pool.query(sql)).rowCount === count, {
    what: `${count} sessions waiting for a lock`,
  })
}

describe('publishers of one dedupe key at once', () => {
  it('write one message, and all get its id', async () => {
    for (let round = 0; round < 20; round++) {
      const topic = `dedupe.${round}`
      const publish = (i: number) => queue.publish(topic, i, { tx: null, dedupeKey: 'x' })
      const ids = await Promise.all(Array.from({ length: 8 }, (_, i) => publish(i)))
      expect(new Set(ids).size).toBe(1)
      expect((await logged(database(), topic)).map((row) => row.id)).toEqual([ids[0]])
    }
  })

  it.each(['commit', 'rollback'])('wait for the first one to end: %s', async (end) => {
    await withClient(database(), async (client) => {
      const topic = `dedupe.${end}`
      await client.query('begin')
      const first = await queue.publish(topic, 1, { tx: client, dedupeKey: 'x' })
      const second = queue.publish(topic, 2, { tx: null, dedupeKey: 'x' })
      await waiters(1)
      await client.query(end)
      const id = await second
      expect(id === first).toBe(end === 'commit')
      expect(await logged(database(), topic)).toMatchObject([{ id, payload: end === 'commit' ? '1' : '2' }])
    })
  })
})

describe('lists at once', () => {
  it('with the same dedupe and lock keys in opposite order never deadlock', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `k${i}`)
    const list = (order: readonly string[], topic: string) =>
      order.map((name) => ({ topic, payload: name, key: name, keyLock: true, dedupeKey: name }))
    for (let round = 0; round < 15; round++) {
      const topic = `lists.${round}`
      const orders = [names, [...names].reverse(), names, [...names].reverse()]
      const results = await Promise.all(orders.map((order) => queue.publishMany(list(order, topic), { tx: null })))
      const ids = results.map((result, i) => (i % 2 ? [...result].reverse() : result))
      expect(ids.every((each) => each.join() === ids[0]?.join())).toBe(true)
      expect(await logged(database(), topic)).toHaveLength(names.length)
    }
  })

  it('with lock keys alone in opposite order never deadlock', async () => {
    const names = Array.from({ length: 200 }, (_, i) => `lock${i}`)
    const list = (order: readonly string[]) => order.map((key) => ({ topic: 'locks', payload: 1, key, keyLock: true }))
    for (let round = 0; round < 15; round++) {
      const orders = [names, [...names].reverse(), names, [...names].reverse()]
      await Promise.all(orders.map((order) => queue.publishMany(list(order), { tx: null })))
    }
    expect(await logged(database(), 'locks')).toHaveLength(15 * 4 * names.length)
  })
})

describe('keyLock', () => {
  it('makes publishers of one key queue, and leaves other keys alone', async () => {
    await withClient(database(), async (client) => {
      await client.query('begin')
      await queue.publish('lock', 'first', { tx: client, key: 'a', keyLock: true })
      const second = queue.publish('lock', 'second', { tx: null, key: 'a', keyLock: true })
      await waiters(1)
      await queue.publish('lock', 'other key', { tx: null, key: 'b', keyLock: true })
      await queue.publish('lock', 'no lock', { tx: null, key: 'a' })
      await client.query('commit')
      await second
    })
    const payloads = (await logged(database(), 'lock')).map((row) => row.payload)
    expect(payloads).toEqual(['"first"', '"other key"', '"no lock"', '"second"'])
  })

  it('makes publish order commit order', async () => {
    await database().pool.query('create table commits (n bigint generated always as identity, id uuid)')
    const publisher = (name: number) =>
      withClient(database(), async (client) => {
        for (let i = 0; i < 40; i++) {
          await inTransaction(client, async () => {
            const id = await queue.publish('order', [name, i], { tx: client, key: 'one', keyLock: true })
            // drawn while the lock is held: who draws later commits later
            await client.query('insert into commits (id) values ($1)', [id])
          })
        }
      })
    await Promise.all([0, 1, 2, 3, 4, 5].map(publisher))
    const inLog = (await logged(database(), 'order')).map((row) => row.id)
    const { rows } = await database().pool.query<{ id: string }>('select id::text from commits order by n')
    expect(inLog).toHaveLength(240)
    expect(inLog).toEqual(rows.map((row) => row.id))
  })
})
