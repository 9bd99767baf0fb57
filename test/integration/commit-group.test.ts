import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { beforeEach, describe, expect, it } from 'vitest'
import { CommitGroup, type CommitGroupMember } from '../../src/dispatcher/lane/commit-group.js'
import { deploy } from '../../src/outbox/configuration-store.js'
import { type DispatcherIdentity, acquireLane, beat } from '../../src/outbox/dispatcher-store.js'
import {
  type FencedCommit,
  type LaneCommit,
  type LaneFence,
  commitLane,
  commitLanes,
  loadPosition,
} from '../../src/outbox/lane-store.js'
import { createTestDatabase } from '../support/database.js'
import { testSettings } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const nothing: LaneCommit = {
  ...{ position: null, newDelta: false },
  ...{ parked: [], updated: [], settled: [], attempts: [], receipts: [] },
}
const row = { attempt: 1, state: 'retrying' as const, in: 5, code: 'HTTP_500', error: 'no', fingerprint: 'f' }

describe.each(['pg18', 'pg15'] as const)('a commit of several lanes, on %s', (server) => {
  let pool: pg.Pool
  let fences: [LaneFence, LaneFence, LaneFence, LaneFence]

  beforeEach(async () => {
    pool = (await createTestDatabase({ server })).pool
    await deploy(pool, {
      ...{ fingerprint: 'f', generation: undefined },
      destinations: [{ ...testSettings, name: 'crm', kind: 'scripted', settings: {}, patterns: ['**'], shards: 4 }],
    })
    const me: DispatcherIdentity = {
      ...{ id: randomUUID(), name: 'd', host: 'h', pid: 1, version: '0', generation: 1, leaseMs: 15_000 },
    }
    const { nonce, lanes } = await beat(pool, me)
    const taken: LaneFence[] = []
    for (const lane of lanes) {
      const holder = randomUUID()
      const epoch = await acquireLane(pool, lane, { holder, dispatcher: me.id, nonce, generation: 1 }, 2000)
      taken.push({ laneId: lane.id, epoch: epoch as string, holder, nonce })
    }
    expect(taken).toHaveLength(4)
    fences = taken as typeof fences
  })

  /** Of a message that the lane parks, tries again and settles at one time or another; with all that can be written. */
  async function everything(fence: LaneFence): Promise<FencedCommit & { readonly id: string }> {
    const at = await loadPosition(pool, fence.laneId, fence.nonce)
    const [old, done, id] = [randomUUID(), randomUUID(), randomUUID()]
    const parked = [old, done].map((each, n) => ({ ...row, seq: n + 1, id: each, topic: 't', key: null }))
    await commitLane(pool, fence, { ...nothing, parked })
    const position = { ...at, n: at.n + 1, delta: { ...at.delta, n: at.delta.n + 1 }, delivered: 3 }
    const commit: LaneCommit = {
      ...{ position, newDelta: true },
      parked: [{ ...row, seq: 3, id, topic: 't', key: 'k' }],
      updated: [{ ...row, seq: 1, id: old, attempt: 2, was: 1 }],
      settled: [{ seq: 2, id: done, was: 1 }],
      attempts: [{ id, seq: 3, attempt: 1, outcome: 'retry', code: 'HTTP_500', error: 'no', ms: 4 }],
      receipts: [{ id: done, seq: 2, attempt: 2, ms: null, receipt: { status: 200 } }],
    }
    return { fence, commit, id }
  }

  /** What is stored of a lane, row versions included. */
  async function stored(fence: LaneFence): Promise<unknown> {
    const { rows } = await pool.query(
      `select (select json_agg(p order by n) from (select p.xmin::text, p.* from waybill.positions p where lane_id = $1) p) as positions,
              (select json_agg(d order by n) from (select d.xmin::text, d.* from waybill.deltas d where lane_id = $1) d) as deltas,
              (select json_agg(d order by seq) from (select d.xmin::text, d.* from waybill.deliveries d where lane_id = $1) d) as deliveries`,
      [fence.laneId],
    )
    return rows[0]
  }

  it('writes all of each lane that it holds, and nothing of one that is another’s, locked, or of another incarnation', async () => {
    const [good, stale, locked, elsewhere] = [
      await everything(fences[0]),
      await everything(fences[1]),
      await everything(fences[2]),
      await everything(fences[3]),
    ]
    const before = await Promise.all([stale, locked, elsewhere].map(({ fence }) => stored(fence)))
    const client = await pool.connect()
    try {
      await client.query('begin')
      await client.query('select from waybill.lanes where id = $1 for update', [locked.fence.laneId])
      const written = await commitLanes(pool, [
        { ...stale, fence: { ...stale.fence, epoch: String(Number(stale.fence.epoch) - 1) } },
        locked,
        good,
        { ...elsewhere, fence: { ...elsewhere.fence, nonce: randomUUID() } },
      ])
      expect(written).toEqual([undefined, undefined, true, undefined])
    } finally {
      await client.query('rollback')
      client.release()
    }
    expect(await Promise.all([stale, locked, elsewhere].map(({ fence }) => stored(fence)))).toEqual(before)
    expect(await stored(good.fence)).toMatchObject({
      positions: expect.arrayContaining([
        expect.objectContaining({ n: good.commit.position?.n, delivered: 3 }),
      ]) as unknown,
      deliveries: [
        { seq: 1, attempt: 2 },
        { seq: 3, attempt: 1, destination: 'crm', topic: 't', key: 'k' },
      ],
    })
    const { rows } = await pool.query('select destination, seq::int, attempt from waybill.attempts')
    expect(rows).toEqual([{ destination: 'crm', seq: 3, attempt: 1 }])
    expect((await pool.query('select seq::int, receipt from waybill.receipts')).rows).toEqual([
      { seq: 2, receipt: { status: 200 } },
    ])
    // the others lost nothing: by themselves they write it all
    expect(await commitLane(pool, locked.fence, locked.commit)).toBe(true)
  })

  it('tells the lane alone whose delivery an operator changed', async () => {
    const [one, other] = [await everything(fences[0]), await everything(fences[1])]
    await pool.query('update waybill.deliveries set attempt = 0 where lane_id = $1 and seq = 1', [one.fence.laneId])
    expect(await commitLanes(pool, [one, other])).toEqual([false, true])
  })

  it('lets each lane try alone where the server refuses one of them', async () => {
    const [good, bad] = [await everything(fences[0]), await everything(fences[1])]
    const { position } = bad.commit
    const twice = {
      ...bad,
      commit: { ...bad.commit, newDelta: false, position: position && { ...position, n: position.n - 1 } },
    }
    const before = await stored(good.fence)
    const told = await inGroup(pool, [good, twice])
    expect(told).toEqual(['alone', 'alone'])
    expect(await stored(good.fence)).toEqual(before)
    expect(await commitLane(pool, good.fence, good.commit)).toBe(true)
  })

  it('says so to every lane where no answer comes', async () => {
    const all = await Promise.all(fences.slice(0, 2).map(everything))
    const cut = async (text: string, values: unknown[]): Promise<never> => {
      const client = await pool.connect()
      const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
      client.on('error', () => undefined)
      const answer = client.query(`select pg_sleep(60) from (${text}) x`, values)
      answer.catch(() => undefined)
      await sleep(50)
      await pool.query('select pg_terminate_backend($1)', [rows[0]?.pid])
      return answer.then(
        () => Promise.reject(new Error('it was not cut')),
        (error: unknown) => {
          client.release(true)
          throw error
        },
      )
    }
    expect(await inGroup({ query: cut } as unknown as pg.Pool, all)).toEqual(['failed', 'failed'])
  })

  it('is one statement for all that ask within the pace, and one at a time', async () => {
    let running = 0
    let most = 0
    const sizes: number[] = []
    const query = async (text: string, values: unknown[]): Promise<unknown> => {
      most = Math.max(most, ++running)
      sizes.push(String(values[1]).split(',').length)
      const answer = await pool.query(text, values)
      running--
      return answer
    }
    const group = new CommitGroup({ query } as unknown as pg.Pool)
    let done = 0
    const members = fences.map((fence): CommitGroupMember => ({
      join: () => ({
        ...{ fence, commit: nothing, done: () => void done++ },
        alone: () => expect.fail('alone'),
        failed: (error) => expect.fail(String(error)),
      }),
    }))
    for (let round = 0; round < 10; round++) {
      for (const member of members) group.ask(member, false)
      await sleep(2)
    }
    await waitFor(() => done >= 8)
    await sleep(50) // the last one that was asked for
    await waitFor(() => done === 4 * sizes.length)
    expect(most).toBe(1)
    expect(sizes.every((size) => size === 4)).toBe(true)
    // asked for within some 20 ms, 10 ms apart: some three, ten without a pace
    expect(sizes.length).toBeLessThanOrEqual(7)
  })
})

/** What each of the lanes is told when their group has tried. */
async function inGroup(pool: pg.Pool, commits: readonly FencedCommit[]): Promise<string[]> {
  const group = new CommitGroup(pool)
  const told = commits.map(
    (each) =>
      new Promise<string>((resolve) => {
        const member: CommitGroupMember = {
          join: () => ({
            ...each,
            done: () => resolve('done'),
            alone: () => resolve('alone'),
            failed: () => resolve('failed'),
          }),
        }
        group.ask(member, false)
      }),
  )
  return Promise.all(told)
}
