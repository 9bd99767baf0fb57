import { randomUUID } from 'node:crypto'
import type pg from 'pg'
import { beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { PageStream } from '../../src/dispatcher/page-stream.js'
import { StandbyPause } from '../../src/dispatcher/standby-pause.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { everythingAbove, startingAt, type Delta } from '../../src/outbox/delta.js'
import { PendingWatch } from '../../src/outbox/inspect/pending.js'
import { loadDropped, loadParked, loadPosition } from '../../src/outbox/lane-store.js'
import { type LogReader, type Page, type PageRequest, PostgresLogReader } from '../../src/outbox/log-reader.js'
import { loadPlan } from '../../src/outbox/position-store.js'
import { SharedPages } from '../../src/outbox/shared-pages.js'
import { takeTick, whenDurable } from '../../src/outbox/tick.js'
import { useDatabase } from '../support/database.js'
import { makeDispatcher, ScriptedAdapter } from '../support/dispatching.js'
import { nonceOf } from '../support/incarnation.js'
import { memoryLogger } from './dispatching-fixture.js'

const other = randomUUID()
const around = { limit: 10, span: 100, filter: null }

describe.each(['pg18', 'pg15'] as const)('a read of a lane, on %s', (server) => {
  const database = useDatabase({ server })
  let here: string
  let lane: number
  let nothingNew: Delta
  let stragglers: Delta
  const pool = (): pg.Pool => database().pool

  beforeAll(async () => {
    await makeDispatcher({ pool: pool(), destinations: { crm: { adapter: new ScriptedAdapter() } } })
    const { rows } = await pool().query<{ id: number }>('select id from waybill.lanes')
    lane = rows[0]?.id as number
    here = await nonceOf(pool())
    const tick = await takeTick(pool(), 0)
    nothingNew = everythingAbove(tick.ceiling, { ...tick, ceiling: tick.ceiling + 10 })
    // one that ran in `from`, far below its floor, and wrote nothing
    const from = { snapshot: '3:5:3', floor: 5000, running: [{ xid: '3', floor: 0 }] }
    stragglers = { n: 1, from, to: { ...tick, floor: 5000, ceiling: 5000 }, generation: 1 }
  })

  const reads: readonly [string, empty: unknown, (nonce: string) => Promise<unknown>][] = [
    [
      'a page',
      [],
      async (nonce) => {
        const reader = new PostgresLogReader(pool(), nonce)
        return (await reader.page({ ...around, delta: nothingNew, after: nothingNew.from.floor })).messages
      },
    ],
    [
      'a page of stragglers',
      [],
      async (nonce) =>
        (await new PostgresLogReader(pool(), nonce, 0).page({ ...around, delta: stragglers, after: 0 })).messages,
    ],
    ['payloads', { messages: [], later: [] }, (nonce) => new PostgresLogReader(pool(), nonce).load([1, 2])],
    ['a position', expect.objectContaining({ n: 0 }), (nonce) => loadPosition(pool(), lane, nonce)],
    ['a plan', { closing: false, paused: false, deltas: [] }, (nonce) => loadPlan(pool(), lane, 0, nonce)],
    ['what is parked', [], (nonce) => loadParked(pool(), lane, nonce)],
    ['what was dropped', [], (nonce) => loadDropped(pool(), lane, nonce)],
    [
      'whether a tick is on disk',
      undefined,
      async (nonce) => whenDurable(pool(), { ...(await takeTick(pool(), 0)), nonce }),
    ],
  ]

  it.each(reads)('tells no rows from no such incarnation: %s', async (_what, empty, read) => {
    expect(await read(here)).toEqual(empty)
    await expect(read(other)).rejects.toMatchObject({ code: 'WAYBILL_STALE_INCARNATION' })
  })

  it('tells what is pending from what another incarnation would say', async () => {
    const watch = await PendingWatch.start(pool())
    expect(await watch.lanes()).toEqual([])
    const later = await PendingWatch.start(pool())
    await pool().query('update waybill.incarnations set nonce = $1', [other])
    try {
      await expect(later.lanes()).rejects.toMatchObject({ code: 'WAYBILL_STALE_INCARNATION' })
    } finally {
      await pool().query('update waybill.incarnations set nonce = $1, xid = pg_current_xact_id()', [here])
    }
  })

  it.each(['a delta', 'the proof that what was stored may be sent'])(
    'takes no tick of another incarnation for %s',
    async (what) => {
      const delta = startingAt(await takeTick(pool(), 0))
      const stream = new PageStream({
        ...{ reader: new PostgresLogReader(pool(), here), nonce: other, ticker: new Ticker(pool(), systemClock) },
        start: what === 'a delta' ? { delta, after: delta.to.ceiling } : { delta: nothingNew, after: 0 },
        ...{ filter: { topicRegex: '.', destination: 'crm' }, matches: () => true, limit: 10 },
        pause: new StandbyPause({
          ...{ name: { destination: 'crm', shard: 0, laneId: lane }, pool: pool(), logger: memoryLogger() },
          ...{ fence: () => ({ laneId: lane, epoch: '1', holder: randomUUID() }), hooks: {}, written: false },
        }),
      })
      await expect(stream.next(AbortSignal.timeout(5000))).rejects.toMatchObject({ code: 'WAYBILL_STALE_INCARNATION' })
    },
  )

  it('goes along an index, in the one partition of many that has it', async () => {
    const client = await pool().connect()
    try {
      await client.query('begin')
      await client.query(`insert into waybill.messages (id, topic, payload)
        select gen_random_uuid(), 'a.b', '{}' from generate_series(1, 5000)`)
      await client.query('analyze waybill.messages')
      const plans: string[] = []
      const explaining = {
        query: async ({ text, values }: { text: string; values: unknown[] }) => {
          const result = await client.query<{ 'QUERY PLAN': string }>(
            `explain (analyze, buffers, costs off, timing off, summary off) ${text.replace(/^(--.*\n)+/, '')}`,
            values,
          )
          plans.push(result.rows.map((row) => row['QUERY PLAN']).join('\n'))
          return { rows: [[null]] }
        },
      }
      const reader = new PostgresLogReader(explaining as never, here, 0)
      const tick = { snapshot: '9223372036854775807:9223372036854775807:', floor: 1000, ceiling: 5000 }
      await reader.page({ ...around, delta: everythingAbove(1000, tick), after: 2000 })
      await reader.page({ ...around, delta: { ...stragglers, to: tick }, after: 0 })
      await reader.load([7, 8])
      for (const plan of plans) {
        expect(plan).toMatch(/Index (Only )?Scan using messages_p1_|Bitmap Heap Scan on messages_p1 /)
        expect(plan).not.toMatch(/Seq Scan on messages/)
        expect(plan).not.toMatch(/messages_(p1000001|p2000001|tail)/)
      }
      expect(plans).toHaveLength(3)
    } finally {
      await client.query('rollback')
      client.release()
    }
  })
})

describe('pages that lanes share', () => {
  it('are not those of another incarnation, though snapshots and floors are the same', async () => {
    const asked: string[] = []
    const open = (nonce: string): LogReader => ({
      page: ({ limit, span }: PageRequest): Promise<Page> => {
        asked.push(nonce)
        return Promise.resolve({ messages: [], after: asked.length, drained: true, looked: 0, limit, span })
      },
      load: () => Promise.resolve({ messages: [], later: [] }),
    })
    const pages = new SharedPages(open, () => 3)
    const request = { ...around, delta: everythingAbove(0, { snapshot: '5:5:', floor: 9, ceiling: 9 }), after: 0 }
    const [a, again, b] = [pages.reader('a'), pages.reader('a'), pages.reader('b')]
    expect((await a.page(request)).after).toBe(1)
    expect((await again.page(request)).after).toBe(1)
    expect((await b.page(request)).after).toBe(2)
    expect(asked).toEqual(['a', 'b'])
  })
})
