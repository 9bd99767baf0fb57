import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { Queue } from '../../src/index.js'
import { useDatabase } from '../support/database.js'
import { inTransaction, logged, scheduled, withClient } from './publish-fixture.js'

describe.each(['pg18', 'pg15'] as const)('on %s', (server) => {
  const database = useDatabase({ server })

  describe.each([
    ['directly', () => database().url, 'direct'],
    ['through PgBouncer in transaction mode', () => database().pgbouncerUrl, 'pooled'],
  ])('%s', (_name, url, topic) => {
    it('publishes in transactions of many clients at once', async () => {
      const queue = new Queue()
      const client = (n: number) =>
        withClient({ url: url() }, async (each) => {
          for (let i = 0; i < 10; i++) {
            const publish = () => queue.publish(`${topic}.many`, [n, i], { tx: each, key: `k${n}`, keyLock: true })
            if (i % 2 === 0) await inTransaction(each, publish)
            else {
              await each.query('begin')
              await publish()
              await each.query('rollback')
            }
            await expect(publish()).rejects.toMatchObject({ code: 'WAYBILL_TX_INVALID' })
          }
        })
      await Promise.all(Array.from({ length: 12 }, (_, n) => client(n)))
      expect(await logged(database(), `${topic}.many`)).toHaveLength(60)
    })

    it('does everything with a pool too', async () => {
      await using queue = new Queue({ connectionString: url() })
      const ids = await queue.publishMany(
        ['{"a": "ü\\"\\\\"}', 'x,y', null].map((payload, i) => ({
          topic: `${topic}.all`,
          payload,
          key: `k${i}`,
          dedupeKey: `d${i}`,
          dedupeWindow: '1h',
        })),
        { tx: null },
      )
      expect(await queue.publish(`${topic}.all`, 1, { tx: null, dedupeKey: 'd1' })).toBe(ids[1])
      const later = await queue.publish(`${topic}.all`, 1, { tx: null, delay: '1h', headers: { a: 'b' } })
      expect(await scheduled(database(), `${topic}.all`)).toMatchObject([{ id: later, headers: '{"a":"b"}' }])
      expect(await queue.cancel(later, { tx: null })).toBe(true)
      expect((await logged(database(), `${topic}.all`)).map((row) => row.id)).toEqual(ids)
      const pool = new pg.Pool({ connectionString: url(), max: 1 })
      const client = await pool.connect()
      await inTransaction(client as unknown as pg.Client, () =>
        queue.publish(`${topic}.pool-client`, 1, { tx: client }),
      )
      client.release()
      await expect(queue.publish(`${topic}.pool-client`, 1, { tx: client })).rejects.toMatchObject({
        code: 'WAYBILL_TX_INVALID',
      })
      await pool.end()
      expect(await logged(database(), `${topic}.pool-client`)).toHaveLength(1)
    })
  })
})
