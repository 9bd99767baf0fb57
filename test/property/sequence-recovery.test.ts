import fc from 'fast-check'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { type Delta, followingDelta, lowest } from '../../src/outbox/delta.js'
import { acquireLane, beat } from '../../src/outbox/dispatcher-store.js'
import { commitLane, loadPosition, type LaneFence } from '../../src/outbox/lane-store.js'
import { PostgresLogReader } from '../../src/outbox/log-reader.js'
import { recoverSequence } from '../../src/outbox/sequence-recovery.js'
import { takeTick } from '../../src/outbox/tick.js'
import { createTestDatabase } from '../support/database.js'
import { makeDispatcher, publish, ScriptedAdapter } from '../support/dispatching.js'

const nothing = { parked: [], updated: [], settled: [], attempts: [], receipts: [] }
const me = { id: '01900000-0000-7000-8000-000000000001', name: 't', host: 'h', pid: 1, version: '0', leaseMs: 15_000 }
const holder = '01900000-0000-7000-8000-000000000002'

/** When a transaction ends that publishes early: before the lane's last tick, between that and the mending, or after it. */
const ends = fc.constantFrom('before the last tick', 'before the sequence is set', 'before it is mended', 'after')
const scenes = fc.record({
  first: fc.integer({ min: 1, max: 15 }),
  open: fc.array(fc.record({ messages: fc.integer({ min: 1, max: 3 }), ends, more: fc.boolean() }), { maxLength: 4 }),
  second: fc.integer({ min: 1, max: 40 }),
  /** Where the sequence is set back to, as a part of what it had reached. */
  back: fc.double({ min: 0, max: 1, noNaN: true }),
  reused: fc.integer({ min: 1, max: 6 }),
})

async function acquire(pool: pg.Pool): Promise<LaneFence> {
  const seen = await beat(pool, { ...me, generation: 1 })
  const lane = seen.lanes[0]
  if (!lane) throw new Error('no lane')
  const epoch = await acquireLane(pool, lane, { holder, dispatcher: me.id, nonce: seen.nonce }, 2000)
  if (epoch === undefined) throw new Error('lane not acquired')
  return { laneId: lane.id, epoch, holder, nonce: seen.nonce }
}

/** Reads, as a lane does, up to a tick of now. */
async function read(pool: pg.Pool, seen: Set<string>): Promise<void> {
  const fence = await acquire(pool)
  const reader = new PostgresLogReader(pool, fence.nonce)
  for (let fresh = false; ;) {
    const stored = await loadPosition(pool, fence.laneId, fence.nonce)
    let delta: Delta = stored.delta
    let { after } = stored
    if (after >= delta.to.ceiling) {
      if (fresh) return
      fresh = true
      delta = followingDelta(delta, await takeTick(pool, 0))
      after = lowest(delta)
    }
    for (let drained = false; !drained;) {
      const page = await reader.page({ delta, after, limit: 10, span: 30, filter: null })
      for (const { id } of page.messages) seen.add(id)
      ;({ after, drained } = page)
    }
    const position = { n: stored.n + 1, delta, after, delivered: seen.size }
    await commitLane(pool, fence, { ...nothing, position, newDelta: delta.n !== stored.delta.n })
  }
}

describe.each(['pg18', 'pg15'] as const)('a sequence that is set back and mended, on %s', (server) => {
  it('costs no message, whenever the transactions end that published before', async () => {
    await fc.assert(
      fc.asyncProperty(scenes, async ({ first, open, second, back, reused }) => {
        const database = await createTestDatabase({ server })
        const { pool, url } = database
        await makeDispatcher({ pool, destinations: { d: { adapter: new ScriptedAdapter() } } })
        const committed: string[] = []
        const seen = new Set<string>()
        const say = async (count: number): Promise<void> => {
          for (let i = 0; i < count; i++) committed.push(await publish(pool, 'a.b', { i }))
        }
        await say(first)
        await read(pool, seen)
        const clients = await Promise.all(
          open.map(async ({ messages, more }) => {
            const client = new pg.Client({ connectionString: url })
            await client.connect()
            await client.query('begin')
            const ids: string[] = []
            for (let i = 0; i < messages; i++) ids.push(await publish(client, 'a.b', { i }))
            return { client, ids, more }
          }),
        )
        const end = async (when: string): Promise<void> => {
          for (const [i, { client, ids, more }] of clients.entries()) {
            if (open[i]?.ends !== when) continue
            if (more) ids.push(await publish(client, 'a.b', { late: true }))
            await client.query('commit')
            await client.end()
            committed.push(...ids)
          }
        }
        await say(second)
        await end('before the last tick')
        await read(pool, seen)
        await end('before the sequence is set')
        const { rows } = await pool.query<{ last: string }>('select last_value as last from waybill.message_seq')
        const to = Math.max(1, Math.floor(Number(rows[0]?.last) * back))
        await pool.query(`select setval('waybill.message_seq', $1)`, [to])
        await say(reused)
        await end('before it is mended')
        await recoverSequence(pool)
        await read(pool, seen)
        await say(1)
        await end('after')
        await read(pool, seen)
        await read(pool, seen)
        expect(committed.filter((id) => !seen.has(id)).map((id) => committed.indexOf(id))).toEqual([])
        await database.drop()
      }),
      {
        numRuns: 12,
        endOnFailure: true,
        examples: [
          [
            {
              first: 10,
              open: [{ messages: 1, ends: 'before the sequence is set', more: false }],
              second: 40,
              back: 0.8,
              reused: 3,
            },
          ],
          [
            {
              first: 5,
              open: [{ messages: 2, ends: 'before it is mended', more: true }],
              second: 20,
              back: 0.5,
              reused: 2,
            },
          ],
        ],
      },
    )
  })
})
