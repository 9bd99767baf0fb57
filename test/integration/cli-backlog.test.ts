import type pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { loadSql } from '../../src/db/sql.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { eventually } from '../support/wait-for.js'
import { cli } from './cli-fixture.js'

const inspect = new URL('../../src/outbox/inspect/x', import.meta.url).href

interface Plan {
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
}

/**
 * 8 kB blocks that a query touches: what it costs whatever the machine does besides. The second time in a session: at first a
 * function's statements are planned in it, which reads catalogs.
 */
async function blocks(client: pg.ClientBase, sql: string, values: unknown[] = []): Promise<number> {
  await client.query(sql, values)
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
    `explain (analyze, buffers, format json) ${sql}`,
    values,
  )
  const plan = rows[0]?.['QUERY PLAN'][0].Plan
  if (!plan) throw new Error('no plan')
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
}

describe('behind a backlog of 400,000', () => {
  const database = useDatabase()
  const backlog = 400_000

  beforeAll(async () => {
    const { pool } = database()
    const adapter = new ScriptedAdapter()
    const destinations = { crm: { adapter }, rare: { adapter: new ScriptedAdapter(), patterns: ['never.*'] } }
    const dispatcher = await startDispatcher({ pool, destinations })
    await publish(pool, 'order.created', {})
    await eventually(() => expect(adapter.delivered).toHaveLength(1))
    await eventually(async () => {
      const { rows } = await pool.query(`select from waybill.positions where delivered = 1`)
      expect(rows).toHaveLength(1)
    })
    await dispatcher.stop()
    await pool.query(
      `insert into waybill.messages (id, topic, key, payload)
       select gen_random_uuid(), 'order.created', 'k' || g % 100, '{"n": 1}' from generate_series(1, $1) g`,
      [backlog],
    )
    await pool.query('analyze waybill.messages')
  })

  it('status and undelivered touch a few hundred blocks', async () => {
    const { pool } = database()
    const all = await pool.query<{ size: string }>(
      `select sum(pg_relation_size(inhrelid)) / 8192 as size from pg_inherits where inhparent = 'waybill.messages'::regclass`,
    )
    expect(Number(all.rows[0]?.size)).toBeGreaterThan(4000)
    const client = await pool.connect()
    try {
      expect(await blocks(client, 'select * from waybill.lane_status')).toBeLessThan(200)
      expect(await blocks(client, loadSql(inspect, './lane_list.sql'), [null])).toBeLessThan(400)
      // 1,000 messages of one of two lanes are looked at
      expect(await blocks(client, 'select * from waybill.undelivered')).toBeLessThan(800)
      expect(await blocks(client, loadSql(inspect, './pending_list.sql'), [null, null, null])).toBeLessThan(800)
      expect(await blocks(client, loadSql(inspect, './destination_list.sql'))).toBeLessThan(400)
    } finally {
      client.release()
    }
  })

  it('a dispatcher that starts looks for reused seqs in what was published since its lanes, not in the whole log', async () => {
    const { pool } = database()
    // as lanes that have been at work leave them, with the log's end known
    await pool.query(
      `insert into waybill.deltas (lane_id, n, from_snapshot, from_floor, to_snapshot, to_floor, ceiling)
       select l.id, 1000 + n, alone, s.last_value, alone, s.last_value, s.last_value
         from waybill.lanes l, generate_series(1, 100) n, waybill.message_seq s,
              lateral (select pg_snapshot_xmax(pg_current_snapshot()) as x) c,
              -- what else runs on this server would be asked about too
              lateral (select format('%1$s:%1$s:', c.x)::pg_snapshot as alone) p`,
    )
    const client = await pool.connect()
    try {
      await client.query('begin')
      const reused = loadSql(import.meta.url, '../../src/outbox/sequence_reused.sql')
      // 200 deltas, some index probes each: 14,000 blocks; through the log along seq it was 1,286,000
      expect(await blocks(client, reused)).toBeLessThan(100_000)
    } finally {
      await client.query('rollback')
      client.release()
      await pool.query('delete from waybill.deltas where n > 1000')
    }
  })

  it('tells how far behind the lanes are', async () => {
    const env = { WAYBILL_DATABASE_URL: database().url }
    const status = JSON.parse((await cli(['status', '--json'], { env })).stdout) as { lagMessages: number }[]
    expect(status).toMatchObject([
      { destination: 'crm', condition: 'unheld' },
      { destination: 'rare', condition: 'unheld' },
    ])
    // an upper bound: what was delivered just before the stop may not be below the cursor yet
    expect([backlog, backlog + 1]).toContain(status[0]?.lagMessages)
    const { pending } = JSON.parse((await cli(['undelivered', '--json'], { env })).stdout) as { pending: unknown[] }
    const messages = status[0]?.lagMessages
    expect(pending).toMatchObject([{ destination: 'crm', state: 'pending', messages, topic: 'order.created' }])
  })
})

describe('a transaction that published early and committed late', () => {
  it('is behind and undelivered although its seq is below the cursor', async () => {
    const database = await createTestDatabase()
    const { pool } = database
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter } } })
    const slow = await pool.connect()
    await slow.query('begin')
    const late = await publish(slow, 'order.late', {}, { key: 'late' })
    const early = await publish(pool, 'order.created', {}, { key: 'early' })
    await eventually(() => expect(adapter.ids()).toEqual([early]))
    await eventually(async () => {
      const { rows } = await pool.query(`select from waybill.positions where delivered = 1`)
      expect(rows).toHaveLength(1)
    })
    await dispatcher.stop()
    await slow.query('commit')
    slow.release()
    const { rows: lanes } = await pool.query(
      'select lag_messages::int, lag_seconds > 0 as behind from waybill.lane_status',
    )
    expect(lanes).toEqual([{ lag_messages: 1, behind: true }])
    const { rows } = await pool.query('select state, message_id, messages::int from waybill.undelivered')
    expect(rows).toEqual([{ state: 'pending', message_id: late, messages: 1 }])
    await database.drop()
  })

  it('a lane that has read everything is not behind, wherever its floor stands', async () => {
    const database = await createTestDatabase()
    const { pool } = database
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter } } })
    for (let i = 0; i < 20; i++) await publish(pool, 'order.created', { i })
    await eventually(() => expect(adapter.delivered).toHaveLength(20))
    await dispatcher.stop()
    // as when the last messages were committed between a tick's probe and its snapshot
    await pool.query('update waybill.deltas set to_floor = to_floor - 3')
    const { rows } = await pool.query('select lag_messages::int, lag_seconds from waybill.lane_status')
    expect(rows).toEqual([{ lag_messages: 0, lag_seconds: 0 }])
    await pool.query('update waybill.deltas set to_floor = to_floor - 12')
    for (let i = 0; i < 2; i++) await publish(pool, 'order.created', { i })
    const { rows: behind } = await pool.query('select lag_messages::int from waybill.lane_status')
    expect(behind).toEqual([{ lag_messages: 2 }])
    const { rows: pending } = await pool.query('select state, messages::int from waybill.undelivered')
    expect(pending).toEqual([{ state: 'pending', messages: 2 }])
    await database.drop()
  })
})
