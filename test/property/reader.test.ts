import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { deploy } from '../../src/outbox/configuration-store.js'
import { type Delta, followingDelta, lowest } from '../../src/outbox/delta.js'
import { acquireLane, beat } from '../../src/outbox/dispatcher-store.js'
import { commitLane, loadPosition, type LaneFence, type StoredPosition } from '../../src/outbox/lane-store.js'
import { type LogReader, PostgresLogReader } from '../../src/outbox/log-reader.js'
import type { LogMessage } from '../../src/outbox/message.js'
import { takeTick } from '../../src/outbox/tick.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { writeAtRandom, type Written } from './log-writers.js'

const page = 50
const nothing = { parked: [], updated: [], settled: [], attempts: [], receipts: [] }

/** A lane reduced to reading: everything it knows survives a restart only through what it stored. */
class Reading {
  readonly seen = new Map<string, number>()
  readonly order = new Map<string, number[]>()
  restarts = 0
  deltas = 0
  floor = 0
  /** The greatest seq that was read since the last restart. */
  read = 0

  constructor(
    readonly database: TestDatabase,
    readonly reader: LogReader,
    readonly fence: LaneFence,
    /** Whether the next tick does without a probe. */
    readonly unprobed: () => boolean,
  ) {}

  /** Reads one delta from the stored position; stores after each page; stops in the middle after `crashAfter` pages. */
  async readDelta(crashAfter: number): Promise<void> {
    const { pool } = this.database
    let stored = await loadPosition(pool, this.fence.laneId, this.fence.nonce)
    let delta: Delta = stored.delta
    let after = stored.after
    if (after >= delta.to.ceiling) {
      const floor = Math.max(this.floor, this.read)
      const tick = await takeTick(pool, floor, !this.unprobed())
      this.floor = tick.floor
      delta = followingDelta(delta, tick)
      after = lowest(delta)
    }
    this.deltas++
    for (let pages = 1; ; pages++) {
      const read = await this.reader.page({ delta, after, limit: page, span: page * 4, filter: null })
      for (const message of read.messages) this.see(message)
      this.read = Math.max(this.read, read.messages.at(-1)?.seq ?? 0)
      after = read.after
      stored = await this.store(stored, delta, after)
      if (read.drained) return
      if (pages === crashAfter) {
        this.restarts++
        this.read = 0
        return
      }
    }
  }

  async store(previous: StoredPosition, delta: Delta, after: number): Promise<StoredPosition> {
    const position = { n: previous.n + 1, delta, after, delivered: this.seen.size }
    const newDelta = delta.n !== previous.delta.n
    await commitLane(this.database.pool, this.fence, { ...nothing, position, newDelta })
    return position
  }

  see(message: LogMessage): void {
    this.seen.set(message.id, (this.seen.get(message.id) ?? 0) + 1)
    if (message.key === null) return
    const { version } = JSON.parse(message.payload) as { version: number }
    const versions = this.order.get(message.key) ?? []
    versions.push(version)
    this.order.set(message.key, versions)
  }
}

async function prepareReading(
  database: TestDatabase,
  { nearSeqs, unprobed }: { nearSeqs: number; unprobed: () => boolean },
): Promise<Reading> {
  const { pool } = database
  await pool.query(`create table aggregates (key text primary key, version int not null default 0)`)
  await pool.query(`insert into aggregates select 'k' || g from generate_series(0, 19) g`)
  await deploy(pool, {
    fingerprint: 'reader',
    generation: undefined,
    destinations: [
      {
        name: 'd',
        kind: 'none',
        settings: {},
        shards: 1,
        order: 'key',
        onDead: 'hold',
        from: 'earliest',
        patterns: ['**'],
      },
    ],
  })
  const id = '01900000-0000-7000-8000-000000000001'
  const seen = await beat(pool, { id, name: 't', host: 'h', pid: 1, version: '0', generation: 1, leaseMs: 15_000 })
  const lane = seen.lanes[0]
  if (!lane) throw new Error('no lane')
  const holder = '01900000-0000-7000-8000-000000000002'
  const epoch = await acquireLane(
    pool,
    lane,
    { holder, dispatcher: id, nonce: seen.nonce, generation: seen.generation },
    2000,
  )
  if (epoch === undefined) throw new Error('lane not acquired')
  const fence = { laneId: lane.id, epoch, holder, nonce: seen.nonce }
  return new Reading(database, new PostgresLogReader(pool, seen.nonce, nearSeqs), fence, unprobed)
}

describe.each(['pg18', 'pg15'] as const)('reading the log on %s', (server) => {
  it('loses, doubles and reorders nothing under concurrent writers while it restarts from its stored position', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 2 ** 31 - 1 }),
        fc.integer({ min: 8, max: 24 }),
        // the floors of stragglers lie from some to some hundreds below: both ways of reading them, and all of one
        fc.constantFrom(0, 50, 1000),
        async (seed, writers, nearSeqs) => {
          const database = await createTestDatabase({ server })
          const random = lcg(seed)
          const reading = await prepareReading(database, { nearSeqs, unprobed: () => random() < 0.7 })
          const until = performance.now() + 4000
          const written: Written = { committed: new Set(), rolledBack: new Set() }
          // on a machine that stands still connecting alone may take as long
          const running = (): boolean => performance.now() < until || written.committed.size <= 50
          const work = Promise.all(
            Array.from({ length: writers }, () =>
              writeAtRandom({ url: database.url, random, keys: 20, prepared: true }, running, written),
            ),
          )
          let done = false
          void work.finally(() => (done = true)).catch(() => undefined)
          while (!done) {
            await reading.readDelta(random() < 0.4 ? 1 + Math.floor(random() * 2) : 0)
            if (random() < 0.5) await new Promise((resolve) => setTimeout(resolve, random() * 40))
          }
          await work
          await reading.readDelta(0)
          await reading.readDelta(0)
          expect(written.committed.size).toBeGreaterThan(50)
          expect(
            [...written.committed].filter((id) => !reading.seen.has(id)),
            'lost',
          ).toEqual([])
          expect(
            [...written.rolledBack].filter((id) => reading.seen.has(id)),
            'phantoms',
          ).toEqual([])
          expect(
            [...reading.seen].filter(([, n]) => n > 1),
            'doubled',
          ).toEqual([])
          for (const [key, versions] of reading.order) {
            expect(versions, `order of ${key}`).toEqual(versions.map((_, i) => i + 1))
          }
          await database.drop()
        },
      ),
      { numRuns: 4, endOnFailure: true },
    )
  })
})

function lcg(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
