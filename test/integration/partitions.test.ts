import { describe, expect, it } from 'vitest'
import {
  attemptsTable,
  extendPartitions,
  extendTimePartitions,
  listPartitions,
  listRanges,
  type PartitionInfo,
} from '../../src/outbox/partitions/index.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { eventually, waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'

const tailOf = (ranges: readonly PartitionInfo[]): PartitionInfo | undefined => ranges.at(-1)
const bounds = (ranges: readonly PartitionInfo[]) => ranges.map(({ lower, upper }) => [lower, upper])

/** Publishes from several sessions until told to stop; a publisher that queues for longer than ten seconds fails. */
function publishing(db: TestDatabase, sessions = 4) {
  let stop = false
  let published = 0
  const running = Array.from({ length: sessions }, () =>
    withClient(db.url, async (client) => {
      await client.query(`set lock_timeout = '10s'`)
      while (!stop) {
        await client.query(`select waybill.publish('order.created', '{}')`)
        published += 1
      }
    }),
  )
  return {
    count: () => published,
    failed: () => Promise.race([...running, new Promise((resolve) => setImmediate(resolve))]),
    stop: async () => {
      stop = true
      await Promise.all(running)
      return published
    },
  }
}

async function countLog(db: TestDatabase): Promise<number> {
  const { rows } = await db.pool.query<{ n: number }>('select count(*)::int as n from waybill.messages')
  return rows[0]?.n ?? 0
}

describe.each(['pg18', 'pg15'] as const)('partitions on %s', (server) => {
  it('keeps empty ranges ahead, in widths of about a day, and does nothing when there are enough', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (client) => {
      expect(bounds(await listPartitions(client))).toEqual([
        [null, 1_000_001],
        [1_000_001, 2_000_001],
        [2_000_001, 3_000_001],
        [3_000_001, null],
      ])
      const first = await extendPartitions(client)
      expect(first).toEqual({ made: [{ lower: 3_000_001, upper: 3_050_001 }], tailKept: false, busy: null })
      expect((await extendPartitions(client)).made).toEqual([])
      expect((await extendPartitions(client, { ahead: 5, rowsPerDay: 90_000 })).made).toEqual([
        { lower: 3_050_001, upper: 3_150_001 },
        { lower: 3_150_001, upper: 3_250_001 },
      ])
      expect(tailOf(await listPartitions(client))).toMatchObject({
        name: 'messages_tail',
        lower: 3_250_001,
        empty: true,
      })
    })
  })

  it('makes a tail that has rows a range of its own, with every row in its place', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (client) => {
      await client.query(`select waybill.publish('order.created', '{}'); select setval('waybill.message_seq', 3000005)`)
      await client.query(`select waybill.publish('order.created', '{}') from generate_series(1, 100)`)
      expect(tailOf(await listPartitions(client))?.empty).toBe(false)
      const report = await extendPartitions(client, { ahead: 2, rowsPerDay: 100_000 })
      expect(report).toEqual({
        made: [
          { lower: 3_200_001, upper: 3_300_001 },
          { lower: 3_300_001, upper: 3_400_001 },
        ],
        tailKept: true,
        busy: null,
      })
      const ranges = await listPartitions(client)
      expect(ranges.slice(3, 4)).toMatchObject([
        { name: 'messages_p3000001', lower: 3_000_001, upper: 3_200_001, empty: false },
      ])
      expect(tailOf(ranges)).toMatchObject({ name: 'messages_tail', lower: 3_400_001, empty: true })
      expect(await countLog(db)).toBe(101)
      expect((await extendPartitions(client, { ahead: 2, rowsPerDay: 100_000 })).made).toEqual([])
    })
  })

  it('takes a large tail by a validated constraint, which is gone afterwards', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (client) => {
      await client.query(`select setval('waybill.message_seq', 3000000)`)
      await client.query(`insert into waybill.messages (id, topic, payload)
        select gen_random_uuid(), 'order.created', to_json(repeat(md5(i::text), 60)) from generate_series(1, 20000) i`)
      const report = await extendPartitions(client, { rowsPerDay: 50_000 })
      expect(report).toMatchObject({ tailKept: true, busy: null })
      expect(report.made[0]?.lower).toBeGreaterThan(20_000_000)
      expect((await client.query(`select from pg_constraint where conname = 'waybill_tail_upper'`)).rowCount).toBe(0)
      expect(await countLog(db)).toBe(20_000)
    })
  })

  it('swaps under full load without an error, a long wait or a lost row', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(`select setval('waybill.message_seq', 3000000)`)
    const publishers = publishing(db)
    let reading = true
    const reader = withClient(db.url, async (client) => {
      await client.query(`set lock_timeout = '10s'`)
      let after = 3_000_000
      while (reading) {
        const { rows } = await client.query<{ last: string }>(
          'select max(seq)::text as last from (select seq from waybill.messages where seq > $1 order by seq limit 100) x',
          [after],
        )
        after = Number(rows[0]?.last ?? after)
      }
    })
    await waitFor(() => publishers.count() > 50)
    await withClient(db.url, async (client) => {
      let swaps = 0
      for (let pass = 1; pass <= 12; pass++) {
        // widths of 50,000 last for days here: ever more ranges are asked for, so that each pass swaps
        const report = await extendPartitions(client, { ahead: 3 + pass, withinMs: 5000 })
        if (report.made.length > 0) swaps += 1
        await publishers.failed()
      }
      expect(swaps).toBeGreaterThan(5)
    })
    reading = false
    await reader
    const published = await publishers.stop()
    expect(await countLog(db)).toBe(published)
  })

  it('leaves publishers alone while a dump holds the table, says who that is, and goes through afterwards', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(`select setval('waybill.message_seq', 3000000)`)
    await withClient(db.url, async (dump) => {
      await dump.query(`set application_name = 'a long dump'; begin isolation level repeatable read;
        lock table waybill.messages in access share mode; select pg_sleep(1.1)`)
      const publishers = publishing(db)
      await withClient(db.url, async (client) => {
        // a plan that publishers have overtaken meanwhile is given up too: it is made anew
        await eventually(async () =>
          expect(await extendPartitions(client, { withinMs: 1500 })).toMatchObject({
            made: [],
            busy: expect.arrayContaining([expect.stringContaining('a long dump')]) as string[],
          }),
        )
        await dump.query('commit')
        await eventually(async () =>
          expect(await extendPartitions(client, { withinMs: 10_000 })).toMatchObject({ tailKept: true, busy: null }),
        )
      })
      const published = await publishers.stop()
      expect(published).toBeGreaterThan(0)
      expect(await countLog(db)).toBe(published)
    })
  })

  it('ends what a cancelled DETACH CONCURRENTLY left pending, and puts the tail back', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (dump) => {
      await dump.query('begin; lock table waybill.messages in access share mode')
      await withClient(db.url, async (client) => {
        await client.query(`set lock_timeout = '100ms'`)
        const detach = client.query('alter table waybill.messages detach partition waybill.messages_tail concurrently')
        await expect(detach).rejects.toMatchObject({ code: '55P03' })
        expect((await listPartitions(client)).at(-1)).toMatchObject({ name: 'messages_tail', detachPending: true })
        // why the tail is never detached concurrently: from here on there is no partition for it
        await client.query(`select setval('waybill.message_seq', 3000000)`)
        await expect(client.query(`select waybill.publish('a', '{}')`)).rejects.toMatchObject({ code: '23514' })
        await dump.query('commit')
        await extendPartitions(client)
        expect((await listPartitions(client)).some((range) => range.detachPending)).toBe(false)
        await client.query(`select waybill.publish('a', '{}')`)
        expect(await countLog(db)).toBe(1)
      })
    })
  })

  it('makes daily ranges for attempts and receipts, and keeps what was there', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (client) => {
      await client.query(`set timezone = 'Asia/Kathmandu'`)
      await client.query(`insert into waybill.attempts (destination, message_id, seq, attempt, outcome)
        select 'crm', gen_random_uuid(), i, 1, 'retry' from generate_series(1, 10) i`)
      const report = await extendTimePartitions(client, attemptsTable)
      expect(report).toMatchObject({ tailKept: true, busy: null })
      const ranges = await listRanges(client, attemptsTable)
      const today = Math.floor(Date.now() / 86_400_000) * 86_400_000
      expect(bounds(ranges)).toEqual([
        [null, today + 2 * 86_400_000],
        [today + 2 * 86_400_000, today + 3 * 86_400_000],
        [today + 3 * 86_400_000, today + 4 * 86_400_000],
        [today + 4 * 86_400_000, null],
      ])
      expect((await extendTimePartitions(client, attemptsTable)).made).toEqual([])
      expect((await extendTimePartitions(client, attemptsTable, { ahead: 5 })).made).toHaveLength(2)
      expect((await client.query('select from waybill.attempts')).rowCount).toBe(10)
    })
  })
})
