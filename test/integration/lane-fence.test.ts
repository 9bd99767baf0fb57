import { randomUUID } from 'node:crypto'
import { beforeAll, describe, expect, it } from 'vitest'
import type pg from 'pg'
import { insertJobs } from '../../src/jobs/index.js'
import { inTransaction } from '../../src/db/transaction.js'
import { deploy } from '../../src/outbox/configuration-store.js'
import {
  type DispatcherIdentity,
  type SeenLane,
  acquireLane,
  beat,
  releaseLanes,
} from '../../src/outbox/dispatcher-store.js'
import {
  type LaneCommit,
  type LaneFence,
  type Queryable,
  type StoredPosition,
  commitLane,
  loadPosition,
  writePause,
} from '../../src/outbox/lane-store.js'
import { restLane } from '../../src/outbox/reshard.js'
import { writeAwait } from '../../src/outbox/standby-store.js'
import { useDatabase } from '../support/database.js'
import { testSettings } from '../support/dispatching.js'

const nothing: LaneCommit = {
  ...{ position: null, newDelta: false },
  ...{ parked: [], updated: [], settled: [], attempts: [], receipts: [] },
}
const parkedBefore = { seq: 1, id: randomUUID() }
const row = { state: 'dead' as const, in: null, code: 'HTTP_400', error: 'no', fingerprint: 'f' }
const fresh = { seq: 2, id: randomUUID() }

/** Each thing that a commit writes, alone. */
const commits: readonly [string, (at: StoredPosition) => Partial<LaneCommit>][] = [
  ['a position', (at) => ({ position: { ...at, n: at.n + 1 } })],
  [
    'a delta',
    (at) => ({ position: { ...at, n: at.n + 1, delta: { ...at.delta, n: at.delta.n + 1 } }, newDelta: true }),
  ],
  ['a parked delivery', () => ({ parked: [{ ...fresh, ...row, attempt: 1, topic: 't', key: null }] })],
  ['a change to a parked delivery', () => ({ updated: [{ ...parkedBefore, ...row, attempt: 3, was: 3 }] })],
  ['the end of a parked delivery', () => ({ settled: [{ ...parkedBefore, was: 3 }] })],
  ['an attempt', () => ({ attempts: [{ ...fresh, attempt: 1, outcome: 'dead', code: null, error: null, ms: 1 }] })],
  ['a receipt', () => ({ receipts: [{ ...fresh, attempt: 1, ms: 1, receipt: { status: 200 } }] })],
]

/** What else a holder writes, in statements of its own. True: it went through. */
const others: readonly [string, (db: pg.Pool, fence: LaneFence) => Promise<boolean>][] = [
  ['a pause', (db, fence) => writePause(db, fence, { kind: 'outage', reason: 'HTTP_503: no' })],
  ['the end of a pause', (db, fence) => writePause(db, fence, null)],
  ['that it waits for the stand-by', (db, fence) => writeAwait(db, fence, 'standby', 'no stand-by')],
]

describe.each(['pg18', 'pg15'] as const)('who may write for a lane, on %s', (server) => {
  const database = useDatabase({ server })
  let fence: LaneFence
  let stale: Record<string, LaneFence>
  const me: DispatcherIdentity = {
    ...{ id: randomUUID(), name: 'd', host: 'h', pid: 1, version: '0', generation: 1, leaseMs: 15_000 },
  }

  async function seen(): Promise<{ nonce: string; lane: SeenLane }> {
    const { nonce, lanes } = await beat(database().pool, me)
    return { nonce, lane: lanes[0] as SeenLane }
  }

  async function acquire(): Promise<LaneFence> {
    const { nonce, lane } = await seen()
    const holder = randomUUID()
    const epoch = await acquireLane(database().pool, lane, { holder, dispatcher: me.id, nonce, generation: 1 }, 2000)
    return { laneId: lane.id, epoch: epoch as string, holder, nonce }
  }

  /** Everything that a holder may change, row versions included. */
  async function written(): Promise<unknown> {
    const tables = ['lanes', 'positions', 'deltas', 'deliveries', 'attempts', 'receipts', 'jobs', 'reshards']
    const all = tables.map(
      (t) => `(select json_agg(x order by x) from (select xmin::text, r::text from waybill.${t} r) x)`,
    )
    return (await database().pool.query(`select ${all.map((sql, i) => `${sql} as ${tables[i]}`).join()}`)).rows[0]
  }

  beforeAll(async () => {
    const { pool } = database()
    await deploy(pool, {
      ...{ fingerprint: 'f', generation: undefined },
      destinations: [{ ...testSettings, name: 'crm', kind: 'scripted', settings: {}, patterns: ['**'] }],
    })
    const former = await acquire()
    await commitLane(pool, former, {
      ...nothing,
      parked: [{ ...parkedBefore, ...row, attempt: 3, topic: 't', key: null }],
    })
    fence = await acquire()
    stale = {
      'the former holder': former,
      'the former holder under the new epoch': { ...fence, holder: former.holder },
      'the holder under a former epoch': { ...fence, epoch: former.epoch },
      'the holder of another lane': { ...fence, laneId: fence.laneId + 1 },
    }
  })

  const whoever = [
    'the former holder',
    'the former holder under the new epoch',
    'the holder under a former epoch',
    'the holder of another lane',
  ]

  describe.each(whoever)('%s', (who) => {
    it.each(commits)('can not write %s', async (_, write) => {
      const { pool } = database()
      const commit = { ...nothing, ...write(await loadPosition(pool, fence.laneId, fence.nonce)) }
      const before = await written()
      await expect(commitLane(pool, stale[who] as LaneFence, commit)).rejects.toMatchObject({
        code: 'WAYBILL_STALE_HOLDER',
      })
      expect(await written()).toEqual(before)
    })

    it.each(others)('can not write %s', async (_, write) => {
      const before = await written()
      expect(await write(database().pool, stale[who] as LaneFence)).toBe(false)
      expect(await written()).toEqual(before)
    })

    it('can not insert jobs beside a position', async () => {
      const before = await written()
      await expect(
        inTransaction(database().pool, async (client) => {
          await insertJobs(client, [{ name: 'work', queue: 'q' }])
          await commitLane(client, stale[who] as LaneFence, nothing)
        }),
      ).rejects.toMatchObject({ code: 'WAYBILL_STALE_HOLDER' })
      expect(await written()).toEqual(before)
    })
  })

  it('writes receipts as the destination gave them, but for what no JSON of PostgreSQL can be asked for, or without', async () => {
    const { pool } = database()
    const given = [{ status: 204 }, null, { answer: 'null' }, { answer: 'line\nbreak, "quotes" \\ {braces} \u0000 é' }]
    const receipts = given.map((receipt, i) => ({
      seq: 10 + i,
      id: randomUUID(),
      attempt: i + 1,
      ms: i || null,
      receipt,
    }))
    await commitLane(pool, fence, { ...nothing, receipts })
    const { rows } = await pool.query(
      `select destination, message_id, seq::int, attempt, duration_ms, receipt from waybill.receipts order by seq`,
    )
    expect(rows).toEqual(
      receipts.map((r) => ({
        ...{ destination: 'crm', message_id: r.id, seq: r.seq, attempt: r.attempt, duration_ms: r.ms },
        receipt: r.receipt?.answer?.includes('\u0000')
          ? { answer: r.receipt.answer.replace('\u0000', '\ufffd') }
          : r.receipt,
      })),
    )
    await pool.query('delete from waybill.receipts')
  })

  it.each(commits)('nobody can write %s to a database that crashed or was promoted since', async (_, write) => {
    const { pool } = database()
    const commit = { ...nothing, ...write(await loadPosition(pool, fence.laneId, fence.nonce)) }
    const before = await written()
    await expect(commitLane(pool, { ...fence, nonce: randomUUID() }, commit)).rejects.toMatchObject({
      code: 'WAYBILL_STALE_INCARNATION',
    })
    expect(await written()).toEqual(before)
  })

  it('a lane is taken only as it was seen, and from the database that it was seen in', async () => {
    const { pool } = database()
    const { nonce, lane } = await seen()
    const take = { holder: randomUUID(), dispatcher: me.id, nonce, generation: 1 }
    const before = await written()
    expect(await acquireLane(pool, { ...lane, epoch: lane.epoch - 1 }, take, 2000)).toBeUndefined()
    expect(await acquireLane(pool, { ...lane, holder: null }, take, 2000)).toBeUndefined()
    expect(await acquireLane(pool, { ...lane, holder: randomUUID() }, take, 2000)).toBeUndefined()
    expect(await acquireLane(pool, lane, { ...take, nonce: randomUUID() }, 2000)).toBeUndefined()
    expect(await written()).toEqual(before)
  })

  it('a lane is given back by its holder alone', async () => {
    const { pool } = database()
    const before = await written()
    await releaseLanes(pool, me.id, [{ id: fence.laneId, holder: randomUUID() }])
    await releaseLanes(pool, randomUUID(), [{ id: fence.laneId, holder: fence.holder }])
    expect(await written()).toEqual(before)
  })

  // last: what the fences above keep out goes through for whom it is meant
  it.each(commits)('the holder writes %s', async (_, write) => {
    const { pool } = database()
    const before = await written()
    expect(
      await commitLane(pool, fence, { ...nothing, ...write(await loadPosition(pool, fence.laneId, fence.nonce)) }),
    ).toBe(true)
    expect(await written()).not.toEqual(before)
  })

  it('the holder pauses, waits for the stand-by, rests where a change of shards wants it, and no other does', async () => {
    const { pool } = database()
    for (const [, write] of [...others].reverse()) expect(await write(pool, fence)).toBe(true)
    await deploy(pool, {
      ...{ fingerprint: 'two', generation: undefined },
      destinations: [{ ...testSettings, name: 'crm', kind: 'scripted', settings: {}, patterns: ['**'], shards: 2 }],
    })
    const before = await written()
    for (const who of whoever) expect(await restLane(pool, stale[who] as LaneFence), who).toBe(false)
    expect(await written()).toEqual(before)
    expect(await restLane(pool, fence)).toBe(true)
  })

  it('a resting lane is given back already, and whoever was its holder writes nothing more', async () => {
    const db: Queryable = database().pool
    await expect(commitLane(db, fence, nothing)).rejects.toMatchObject({ code: 'WAYBILL_STALE_HOLDER' })
  })
})
