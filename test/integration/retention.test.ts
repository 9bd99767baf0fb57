import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { everythingBetween, startingAt } from '../../src/outbox/delta.js'
import { extendPartitions, listPartitions } from '../../src/outbox/partitions/index.js'
import { planDeltas } from '../../src/outbox/position-store.js'
import { dropPartitions, heldBack, laneFloors, runMaintenance } from '../../src/outbox/retention/index.js'
import { checkSequence, mendSequence } from '../../src/outbox/sequence-guard.js'
import { wholeSnapshot } from '../../src/outbox/snapshot.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'

const hour = 3_600_000

interface Delta {
  readonly fromFloor?: number
  readonly toFloor: number
  readonly ceiling: number
  readonly after: number
  /** Default: one of now. */
  readonly to?: string
  readonly running?: readonly { readonly xid: string; readonly floor: number }[]
}

/** A lane of a destination that wants `order.*`, at the given positions. */
async function lane(db: TestDatabase, destination: string, deltas: readonly Delta[]): Promise<number> {
  await db.pool.query(
    `insert into waybill.destinations (name, kind, topic_regex, generation) values ($1, 'webhook', '^order\\.', 1)`,
    [destination],
  )
  const { rows } = await db.pool.query<{ id: number }>(
    `insert into waybill.lanes (destination, shard, shards) values ($1, 0, 1) returning id`,
    [destination],
  )
  const id = rows[0]?.id ?? 0
  for (const [n, delta] of deltas.entries()) await position(db, id, n, delta)
  return id
}

async function position(db: TestDatabase, id: number, n: number, delta: Delta): Promise<void> {
  const running = delta.running ?? []
  await db.pool.query(
    `insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, running, running_floors, to_snapshot, to_floor, ceiling)
     values ($1, $2, '3:3:', $3, $4::xid8[], $5, coalesce($6::pg_snapshot, pg_current_snapshot()), $7, $8)`,
    [
      id,
      n,
      delta.fromFloor ?? 0,
      running.map((r) => r.xid),
      running.map((r) => r.floor),
      delta.to ?? null,
      delta.toFloor,
      delta.ceiling,
    ],
  )
  await db.pool.query('insert into waybill.positions (lane_id, n, delta, after, epoch) values ($1, $2, $2, $3, 1)', [
    id,
    n,
    delta.after,
  ])
}

/** `count` messages from `seq` on, `ageHours` old. */
async function fill(db: TestDatabase, seq: number, count: number, ageHours: number): Promise<void> {
  await db.pool.query(
    `insert into waybill.messages (seq, id, topic, payload, created_at)
     select i, gen_random_uuid(), case when i % 2 = 0 then 'order.created' else 'stock.moved' end, '{}', now() - $3 * interval '1 hour'
       from generate_series($1::bigint, $1::bigint + $2::bigint - 1) i`,
    [seq, count, ageHours],
  )
  await db.pool.query(
    `select setval('waybill.message_seq', greatest($1::bigint, (select last_value from waybill.message_seq)))`,
    [seq + count - 1],
  )
}

/** Four old ranges of 100 rows each, and the tip in the fourth; more ahead. */
async function oldLog(db: TestDatabase): Promise<void> {
  await withClient(db.url, (client) => extendPartitions(client, { ahead: 6 }))
  await fill(db, 1, 100, 100)
  await fill(db, 1_000_001, 100, 90)
  await fill(db, 2_000_001, 100, 80)
  await fill(db, 3_000_001, 100, 0)
}

const names = async (db: TestDatabase) => (await withClient(db.url, listPartitions)).map((range) => range.name)
const drained = (floor: number): Delta => ({ toFloor: floor, ceiling: floor, after: floor, fromFloor: floor })

describe.each(['pg18', 'pg15'] as const)('retention on %s', (server) => {
  it('drops what is past retention, and nothing younger', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    const report = await dropPartitions(db.pool, { retentionMs: 85 * hour })
    expect(report).toMatchObject({
      dropped: [{ name: 'messages_p1' }, { name: 'messages_p1000001' }],
      expired: [],
      kept: null,
    })
    expect((await names(db))[0]).toBe('messages_p2000001')
    expect((await db.pool.query(`select to_regclass('waybill.messages_p1') as gone`)).rows).toEqual([{ gone: null }])
    expect((await db.pool.query('select from waybill.messages')).rowCount).toBe(200)
    // the tip's own range never goes
    await dropPartitions(db.pool, { retentionMs: 0 })
    expect((await names(db))[0]).toBe('messages_p3000001')
    await db.pool.query(`select waybill.publish('order.created', '{}')`)
  })

  it('keeps what a lane has not read, and names it; closed lanes hold nothing', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    await lane(db, 'crm', [drained(3_000_100)])
    const slow = await lane(db, 'bank', [
      { fromFloor: 1_000_050, toFloor: 3_000_100, ceiling: 3_000_100, after: 1_000_060 },
    ])
    const report = await dropPartitions(db.pool, { retentionMs: hour })
    expect(report.dropped.map((range) => range.name)).toEqual(['messages_p1'])
    expect(report.kept).toMatchObject({
      partition: 'messages_p1000001',
      why: 'lanes',
      lanes: [{ laneId: slow, floor: 1_000_050 }],
    })
    const held = await withClient(db.url, (client) => heldBack(client, { retentionMs: hour, diskBytes: 10 ** 15 }))
    expect(held.lanes).toMatchObject([
      {
        laneId: slow,
        destination: 'bank',
        floorSeq: 1_000_050,
        byParked: false,
        partitions: ['messages_p1000001', 'messages_p2000001'],
      },
    ])
    expect(held.lanes[0]?.bytes).toBeGreaterThan(0)
    expect(held.lanes[0]?.oldest).toBeInstanceOf(Date)
    await db.pool.query(`update waybill.lanes set state = 'closed' where id = $1`, [slow])
    const rest = await dropPartitions(db.pool, { retentionMs: hour })
    expect(rest.dropped.map((range) => range.name)).toEqual(['messages_p1000001', 'messages_p2000001'])
  })

  it('keeps what is parked, and everything for a lane that has no position yet', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    const id = await lane(db, 'crm', [drained(3_000_100)])
    await db.pool.query(
      `insert into waybill.deliveries (destination, lane_id, seq, message_id, topic, state)
       select 'crm', $1, m.seq, m.id, m.topic, 'dead' from waybill.messages m where m.seq = 1000002`,
      [id],
    )
    expect(await dropPartitions(db.pool, { retentionMs: hour })).toMatchObject({
      dropped: [{ name: 'messages_p1' }],
      kept: { partition: 'messages_p1000001', lanes: [{ laneId: id, parked: 1_000_002 }] },
    })
    const held = await withClient(db.url, (client) => heldBack(client, { retentionMs: hour }))
    expect(held).toMatchObject({ lanes: [{ laneId: id, byParked: true, floorSeq: 1_000_001 }], daysUntilFull: null })
    await db.pool.query('delete from waybill.deliveries')
    const fresh = await lane(db, 'new', [])
    expect((await dropPartitions(db.pool, { retentionMs: hour })).kept).toMatchObject({
      lanes: [{ laneId: fresh, floor: 0 }],
    })
  })

  it('knows the floors of stragglers, of a drained delta and of one that is being read', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(`select setval('waybill.message_seq', 1000)`)
    await lane(db, 'known', [
      { ...drained(900), to: '50:60:51,52', running: [{ xid: '51', floor: 300 }], fromFloor: 700 },
    ])
    await lane(db, 'ended', [{ ...drained(900), to: '60:60:', running: [{ xid: '51', floor: 300 }], fromFloor: 700 }])
    await lane(db, 'met', [{ ...drained(900), to: '50:60:52', fromFloor: 700 }])
    await lane(db, 'within', [
      { toFloor: 900, ceiling: 900, after: 500, to: '60:60:', running: [{ xid: '51', floor: 300 }], fromFloor: 700 },
    ])
    const floors = await withClient(db.url, laneFloors)
    expect(floors.map(({ destination, floor }) => [destination, floor])).toEqual([
      ['known', 300],
      ['ended', 900],
      ['met', 700],
      ['within', 300],
    ])
  })

  it('knows what a lane is still to read of planned deltas, and so do the views', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(`select waybill.publish('order.created', '{}') from generate_series(1, 10)`)
    const id = await lane(db, 'crm', [{ ...drained(10), to: wholeSnapshot }])
    const seen = async () => {
      const { rows } = await db.pool.query(
        `select s.lag_messages::int as lag, (select u.seq::int from waybill.undelivered u) as first
           from waybill.lane_status s`,
      )
      const [floor] = await withClient(db.url, laneFloors)
      return [floor?.floor, rows]
    }
    expect(await seen()).toEqual([10, [{ lag: 0, first: null }]])
    // what is planned for a delta that is behind it counts no more
    const behind = everythingBetween(0, 10, 0)
    await withClient(db.url, (client) => planDeltas(client, id, [behind, everythingBetween(10, 10, 1)]))
    expect(await seen()).toEqual([10, [{ lag: 0, first: null }]])
    const plan = [everythingBetween(10, 10, 1), everythingBetween(4, 10, 2)]
    await withClient(db.url, (client) => planDeltas(client, id, plan))
    expect(await seen()).toEqual([4, [{ lag: 6, first: 5 }]])
    const standing = startingAt({ snapshot: '50:60:51', floor: 10, ceiling: 10 })
    await withClient(db.url, (client) => planDeltas(client, id, [{ ...standing, n: 1 }]))
    expect(await seen()).toEqual([0, [{ lag: 10, first: 1 }]])
  })

  it('waits for transactions that may still commit into a range, and loses nothing of them', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    await withClient(db.url, async (slow) => {
      await slow.query('begin')
      // xid, then a seq of the first range; the row comes much later
      await slow.query(
        `insert into waybill.messages (seq, id, topic, payload, created_at)
         values (500, gen_random_uuid(), 'order.created', '{}', now() - interval '200 hours')`,
      )
      const report = await dropPartitions(db.pool, { retentionMs: hour })
      expect(report).toMatchObject({ dropped: [], kept: { partition: 'messages_p1', why: 'transactions' } })
      // a prepared transaction goes on without a session
      await slow.query(`prepare transaction '${db.name}'`)
      expect((await dropPartitions(db.pool, { retentionMs: hour })).kept).toMatchObject({ why: 'transactions' })
      await slow.query(`commit prepared '${db.name}'`)
    })
    expect((await db.pool.query('select from waybill.messages where seq = 500')).rowCount).toBe(1)
    const id = await lane(db, 'crm', [drained(400)])
    expect((await dropPartitions(db.pool, { retentionMs: hour })).kept).toMatchObject({
      why: 'lanes',
      lanes: [{ laneId: id }],
    })
  })

  it('takes up what an old snapshot kept from being detached, and makes no publisher wait meanwhile', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    await withClient(db.url, async (dump) => {
      await dump.query('begin isolation level repeatable read; select from waybill.messages limit 1')
      await withClient(db.url, async (publisher) => {
        await publisher.query(`set lock_timeout = '10s'`)
        let published = 0
        let enough = false
        const publishing = (async () => {
          for (; !enough || published < 50; published++)
            await publisher.query(`select waybill.publish('order.created', '{}')`)
        })()
        const kept = []
        // a publisher of the moment is waited for first
        do {
          const report = await dropPartitions(db.pool, { retentionMs: 95 * hour, withinMs: 600 })
          expect(report.dropped).toEqual([])
          kept.push(report.kept)
        } while (kept.at(-1)?.why === 'transactions')
        enough = true
        await publishing
        expect(kept.at(-1)).toMatchObject({ partition: 'messages_p1', why: 'detaching' })
      })
      await dump.query('commit')
    })
    expect((await dropPartitions(db.pool, { retentionMs: 95 * hour })).dropped).toMatchObject([{ name: 'messages_p1' }])
    expect((await db.pool.query(`select to_regclass('waybill.messages_p1') as gone`)).rows).toEqual([{ gone: null }])
    expect((await db.pool.query('select from waybill.partition_marks where dropping')).rowCount).toBe(0)
  })

  it('goes past a lane after maxHold, counts what that lane lost, and says so', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    const id = await lane(db, 'crm', [{ fromFloor: 50, toFloor: 3_000_100, ceiling: 3_000_100, after: 60 }])
    await db.pool.query(
      `insert into waybill.deliveries (destination, lane_id, seq, message_id, topic, state, attempt)
       select 'crm', $1, m.seq, m.id, m.topic, 'retrying', 3 from waybill.messages m where m.seq = 10`,
      [id],
    )
    const report = await dropPartitions(db.pool, { retentionMs: hour, maxHoldMs: 95 * hour })
    expect(report.dropped.map((range) => range.name)).toEqual(['messages_p1'])
    // 62, 64, … 100: order.created alone, and only what lay behind its cursor
    expect(report.expired).toEqual([
      { laneId: id, destination: 'crm', partition: 'messages_p1', pending: 20, parked: 1 },
    ])
    expect(report.kept).toMatchObject({ partition: 'messages_p1000001', why: 'lanes' })
    const { rows } = await db.pool.query<{ action: string; target: unknown }>(
      'select action, target from waybill.audit',
    )
    expect(rows).toEqual([
      { action: 'expire', target: expect.objectContaining({ destination: 'crm', pending: 20, parked: 1 }) as unknown },
    ])
    expect((await db.pool.query(`select outcome, attempt from waybill.attempts`)).rows).toEqual([
      { outcome: 'expired', attempt: 3 },
    ])
    expect((await db.pool.query(`select commands::int from waybill.lanes`)).rows).toEqual([{ commands: 1 }])
  })

  it('deletes old rows in batches where a day is small, below what lanes need', async () => {
    const db = await createTestDatabase({ server })
    await fill(db, 1, 3000, 100)
    await fill(db, 3001, 1000, 0)
    const id = await lane(db, 'crm', [drained(2500)])
    const first = await runMaintenance(db.pool, { retentionMs: hour })
    expect(first.tasks.filter((task) => task.error !== null)).toEqual([])
    const trimmed = (report: typeof first) => report.tasks.find((task) => task.task === 'trim messages')?.result
    expect(trimmed(first)).toBe(2500)
    expect((await db.pool.query('select min(seq)::int as first from waybill.messages')).rows).toEqual([{ first: 2501 }])
    await position(db, id, 1, drained(4000))
    expect(trimmed(await runMaintenance(db.pool, { retentionMs: hour }))).toBe(500)
    expect((await db.pool.query('select count(*)::int as n from waybill.messages')).rows).toEqual([{ n: 1000 }])
  })

  it('sweeps keys, positions, deltas, counters, dispatchers and old days; one process at a time', async () => {
    const db = await createTestDatabase({ server })
    const id = await lane(db, 'crm', [])
    await db.pool.query(
      `insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, to_snapshot, to_floor, ceiling)
         select ${id}, d, '3:3:', 0, '3:3:', 0, 0 from generate_series(0, 499) d;
       insert into waybill.positions (lane_id, n, delta, after, epoch)
         select ${id}, n, n / 10, 0, 1 from generate_series(0, 4999) n;
       insert into waybill.dedupe_keys (topic, dedupe_key, message_id, expires_at)
         select 'a', i::text, gen_random_uuid(), now() + (i - 2500.5) * interval '1 minute' from generate_series(1, 5000) i;
       insert into waybill.unrouted (topic, n, counted_at)
         select 'a', 2, date_trunc('hour', now()) - interval '2 hours' from generate_series(1, 10);
       insert into waybill.unrouted (topic, n, counted_at) values ('a', 1, now() - interval '40 days');
       insert into waybill.dispatchers (id, name, host, pid, version, generation, lease_ms, seen_at)
         values (gen_random_uuid(), 'old', 'h', 1, '0', 1, 1, now() - interval '2 days'), (gen_random_uuid(), 'new', 'h', 1, '0', 1, 1, now())`,
    )
    const [one, two] = await Promise.all([runMaintenance(db.pool), runMaintenance(db.pool)])
    expect([one.ran, two.ran].sort()).toEqual([false, true])
    expect([...one.tasks, ...two.tasks].filter((task) => task.error !== null)).toEqual([])
    const counts = await db.pool.query(
      `select (select count(*)::int from waybill.positions) as positions, (select min(n)::int from waybill.positions) as first,
              (select count(*)::int from waybill.deltas) as deltas, (select count(*)::int from waybill.dedupe_keys) as keys,
              (select array_agg(n::int) from waybill.unrouted) as unrouted, (select array_agg(name) from waybill.dispatchers) as dispatchers`,
    )
    expect(counts.rows).toEqual([
      { positions: 100, first: 4900, deltas: 10, keys: 2500, unrouted: [20], dispatchers: ['new'] },
    ])
    expect((await runMaintenance(db.pool)).tasks.filter((task) => task.error !== null)).toEqual([])
  })

  it('drops days of attempts that are past retention', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(
      `alter table waybill.attempts detach partition waybill.attempts_tail;
       drop table waybill.attempts_tail;
       create table waybill.attempts_p0 partition of waybill.attempts for values from (minvalue) to ('2020-01-02Z');
       create table waybill.attempts_p20200102 partition of waybill.attempts for values from ('2020-01-02Z') to (now() + interval '1 hour');
       create table waybill.attempts_tail partition of waybill.attempts for values from (now() + interval '1 hour') to (maxvalue);
       insert into waybill.attempts (at, destination, message_id, seq, attempt, outcome)
         values ('2020-01-01Z', 'crm', gen_random_uuid(), 1, 1, 'retry'), (now(), 'crm', gen_random_uuid(), 1, 2, 'retry')`,
    )
    const report = await runMaintenance(db.pool)
    expect(report.tasks.find((task) => task.task === 'drop attempts')).toMatchObject({
      result: ['attempts_p0'],
      error: null,
    })
    expect((await db.pool.query('select attempt from waybill.attempts')).rows).toEqual([{ attempt: 2 }])
  })

  it('does all of it through PgBouncer in transaction mode', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    const pool = new pg.Pool({ connectionString: db.pgbouncerUrl, max: 2 })
    try {
      const report = await runMaintenance(pool, { retentionMs: hour })
      expect(report.tasks.filter((task) => task.error !== null)).toEqual([])
      expect(report.tasks.find((task) => task.task === 'drop messages')?.result).toMatchObject({
        dropped: [{ name: 'messages_p1' }, { name: 'messages_p1000001' }, { name: 'messages_p2000001' }],
      })
      expect(report.tasks.find((task) => task.task === 'extend attempts')?.result).toMatchObject({ tailKept: true })
      expect((await runMaintenance(pool)).ran).toBe(true)
    } finally {
      await pool.end()
    }
  })

  it('one task that fails keeps none of the others from running', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query('alter table waybill.unrouted rename to unrouted_gone')
    const report = await runMaintenance(db.pool)
    expect(report.tasks.filter((task) => task.error !== null)).toMatchObject([
      { task: 'sweep unrouted', error: { code: '42P01' } },
    ])
    expect(report.tasks.at(-1)).toMatchObject({ task: 'sweep dispatchers', error: null })
  })

  it('drops while publishers write at full speed, and nothing of theirs is lost', async () => {
    const db = await createTestDatabase({ server })
    await oldLog(db)
    let stop = false
    let published = 0
    const publishers = Array.from({ length: 3 }, () =>
      withClient(db.url, async (client) => {
        await client.query(`set lock_timeout = '10s'`)
        while (!stop) {
          await client.query(`select waybill.publish('order.created', '{}')`)
          published += 1
        }
      }),
    )
    await waitFor(() => published > 50)
    const report = await dropPartitions(db.pool, { retentionMs: hour })
    await withClient(db.url, (client) => extendPartitions(client, { ahead: 8 }))
    expect(report.dropped.map((range) => range.name)).toEqual(['messages_p1', 'messages_p1000001', 'messages_p2000001'])
    stop = true
    await Promise.all(publishers)
    expect((await db.pool.query('select from waybill.messages where seq > 3000100')).rowCount).toBe(published)
  })
})

describe.each(['pg18', 'pg15'] as const)('the sequence on %s', (server) => {
  it('set back is found, mended and audited, and what was published meanwhile is found for each lane', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (client) => {
      await client.query(`select waybill.publish('order.created', '{}') from generate_series(1, 500)`)
      const id = await lane(db, 'crm', [drained(500)])
      expect(await checkSequence(client)).toEqual({ ok: true, last: 500 })
      expect(await mendSequence(client)).toMatchObject({ lowestReused: null, reread: [] })

      await client.query(`select setval('waybill.message_seq', 100)`)
      const lost = randomUUID()
      await client.query(`select waybill.publish('order.created', '{}', id => $1)`, [lost])
      expect(await checkSequence(client)).toMatchObject({
        ok: false,
        last: 101,
        least: 500,
        problems: [{ kind: 'behind' }],
      })
      // the lane went on meanwhile: its latest snapshot sees what it never read
      await position(db, id, 1, drained(500))

      const report = await mendSequence(client, { margin: 50 })
      expect(report).toMatchObject({
        after: { ok: true, last: 550 },
        lowestReused: 101,
        reread: [{ laneId: id, floor: 100 }],
      })
      const again = await client.query<{ id: string }>(
        'select id from waybill.messages where seq > $1 and not pg_visible_in_snapshot(xid, $2::pg_snapshot)',
        [report.reread[0]?.floor, report.reread[0]?.snapshot],
      )
      expect(again.rows).toEqual([{ id: lost }])
      expect((await client.query(`select action from waybill.audit`)).rows).toEqual([{ action: 'mend_sequence' }])
      await client.query(`select waybill.publish('order.created', '{}')`)
      expect((await client.query('select max(seq)::int as top from waybill.messages')).rows).toEqual([{ top: 551 }])
    })
  })

  it('with a cache or a cycle is found and mended, and other sessions forget what they had cached', async () => {
    const db = await createTestDatabase({ server })
    await withClient(db.url, async (client) => {
      await client.query('alter sequence waybill.message_seq cache 20 cycle')
      await withClient(db.url, async (other) => {
        await other.query(`select waybill.publish('order.created', '{}')`)
        expect(await checkSequence(client)).toMatchObject({
          ok: false,
          problems: [{ kind: 'cache' }, { kind: 'cycle' }],
        })
        expect((await mendSequence(client, { margin: 10 })).after).toEqual({ ok: true, last: 29 })
        await other.query(`select waybill.publish('order.created', '{}')`)
      })
      expect((await client.query('select max(seq)::int as top from waybill.messages')).rows).toEqual([{ top: 30 }])
    })
  })
})
