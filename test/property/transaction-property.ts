import { expect } from 'vitest'
import { defineTopics, Queue, type Transaction } from '../../src/index.js'
import type { TestDatabase } from '../support/database.js'

/** A transaction, or a savepoint in one, as the property drives it. */
export interface Handle {
  readonly tx: Transaction
  /** A statement of the application's own, in it. */
  readonly query: (sql: string) => PromiseLike<unknown>
  /** What `work` does is rolled back alone when it throws. */
  readonly savepoint: (work: (inner: Handle) => Promise<void>) => PromiseLike<unknown>
}

/** A library, or one way of using it, over two connections. */
export interface Form {
  /** Commits, or rolls back when `work` throws. */
  transaction(work: (handle: Handle) => Promise<void>): PromiseLike<unknown>
  close(): PromiseLike<unknown>
  /** False where a handle does not outlive its transaction: given later, it is whatever its connection does then. */
  readonly late?: boolean
  /**
   * True where a call that is under way when a savepoint begins is in the log or refused. Of others nothing tells that
   * one has begun, and its rollback takes the message with it: they are awaited before.
   */
  readonly exact?: boolean
  /** True where statements of one transaction overtake one another: what was called in a savepoint is awaited in it. */
  readonly unordered?: boolean
}

/** For a table of the application's own; the row `taken` is there. */
export const ownTable = `create table own_rows (ref text primary key); insert into own_rows values ('taken')`

type Random = () => number
interface Call {
  readonly settled: Promise<'resolved' | Error>
}
class Planned extends Error {}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** A schema that answers later: it asks another service. */
const slow = {
  '~standard': {
    version: 1 as const,
    vendor: 'test',
    validate: (value: unknown) => sleep(Number(String(value).split('/')[1])).then(() => ({ value })),
  },
}
const any = {
  '~standard': { version: 1 as const, vendor: 'test', validate: (value: unknown) => ({ value }) },
}

/** Milliseconds after which what was called must have settled. */
const settleMs = 10_000

/**
 * A message is in the log exactly where the row of its transaction, or of its savepoint, is: six transactions at once over
 * two connections write their row and publish beside statements that are slow or fail, in savepoints, with schemas that
 * answer later, in calls that nobody awaits, and after their end.
 */
export async function holds(form: Form, database: TestDatabase, name: string, seed: number, count: number) {
  const random = generator(seed)
  const queue = new Queue({ topics: defineTopics({ [`${name}.now`]: any, [`${name}.later`]: slow }) })
  const calls = new Map<string, Call & { scope: string }>()
  let published = 0

  const publish = (handle: Handle, scope: string, started: Call[]): Promise<unknown> => {
    const kind = random()
    const payload = `${name}:${seed}:${published++}/${Math.floor(random() * 4)}`
    const topic = kind < 0.25 ? `${name}.later` : `${name}.now`
    const message = { topic, payload, ...(kind > 0.9 && { delay: '1h' }), ...(kind > 0.8 && { headers: { a: 'b' } }) }
    const { tx } = handle
    const call: Promise<unknown> =
      kind > 0.25 && kind < 0.4
        ? queue.publishMany([message], { tx })
        : queue.publish(topic, payload, { ...message, tx, topic: undefined, payload: undefined } as never)
    const settled = call.then(
      () => 'resolved' as const,
      (error: unknown) => error as Error,
    )
    calls.set(payload, { scope, settled })
    started.push({ settled })
    return call
  }

  const burst = async (handle: Handle, scope: string, started: Call[]): Promise<void> => {
    const publishes = () => Array.from({ length: 1 + Math.floor(random() * 4) }, () => publish(handle, scope, started))
    const shape = random()
    if (shape < 0.2) {
      for (let i = 0; i < 2; i++) await publish(handle, scope, started)
      return
    }
    if (shape < 0.35) {
      // nobody awaits these
      for (const call of publishes()) call.catch(() => undefined)
      if (random() < 0.5) await handle.query('select 1')
      return
    }
    const beside = (): PromiseLike<unknown> => {
      const what = random()
      if (what < 0.2) return handle.query(`insert into own_rows values ('taken')`)
      if (what < 0.35) return sleep(random() * 3).then(() => Promise.reject(new Planned('an outside call failed')))
      if (what < 0.6) return handle.query(`select pg_sleep(${(random() * 0.004).toFixed(4)})`)
      return handle.query('select 1')
    }
    const first = random() < 0.5
    const all = first ? [beside(), ...publishes()] : [...publishes(), beside()]
    if (random() < 0.3) all.push(beside())
    await Promise.all(all)
  }

  const one = async (index: number): Promise<void> => {
    const scope = `${name}:${seed}:${index}`
    let ended: Handle | undefined
    const started: Call[] = []
    const within = (handle: Handle, of: string) => burst(handle, of, started)
    try {
      await form.transaction(async (handle) => {
        await handle.query(`insert into own_rows values ('${scope}')`)
        await within(handle, scope)
        ended = handle
        if (random() < 0.5) {
          const inner = `${scope}.s`
          if (form.exact !== true) await Promise.all(started.map(({ settled }) => settled))
          await Promise.resolve(
            handle.savepoint(async (nested) => {
              await nested.query(`insert into own_rows values ('${inner}')`)
              try {
                await within(nested, inner)
              } finally {
                if (form.unordered === true) await Promise.all(started.map(({ settled }) => settled))
              }
              if (random() < 0.4) throw new Planned('the savepoint is rolled back')
            }),
          ).catch(() => undefined)
        }
        if (random() < 0.5) await within(handle, scope)
        if (random() < 0.2) throw new Planned('the work failed')
      })
    } catch {
      // rolled back, one way or the other: the rows tell
    }
    // no row will ever be there for what is called after the end
    if (ended && form.late !== false && random() < 0.5) await publish(ended, `${scope}.late`, []).catch(() => undefined)
  }

  let next = 0
  const worker = async (): Promise<void> => {
    while (next < count) await one(next++)
  }
  await Promise.all(Array.from({ length: 6 }, worker))

  const limit = sleep(settleMs).then(() => new Error('never settled'))
  const faults: string[] = []
  const outcomes = new Map<string, 'resolved' | Error>()
  for (const [payload, { settled }] of calls) outcomes.set(payload, await Promise.race([settled, limit]))
  await queue.close()
  const strings = async (sql: string): Promise<Set<string>> =>
    new Set((await database.pool.query<{ s: string }>(sql)).rows.map(({ s }) => s))
  const rows = await strings('select ref as s from own_rows')
  const log = await strings(
    `select payload #>> '{}' as s from (select payload, topic from waybill.messages union all select payload, topic from waybill.scheduled) m where topic like '${name}.%'`,
  )
  let committed = 0
  for (const [payload, { scope }] of calls) {
    const outcome = outcomes.get(payload)
    const isThere = log.has(payload)
    const said = outcome === 'resolved' ? 'resolved' : String(outcome)
    if (isThere) committed++
    if (isThere && !rows.has(scope)) faults.push(`${payload} of ${scope} is in the log without its row (${said})`)
    if (isThere && outcome !== 'resolved')
      faults.push(`${payload} of ${scope} is in the log, and was rejected: ${said}`)
    if (!isThere && rows.has(scope) && outcome === 'resolved') faults.push(`${payload} of ${scope} is lost`)
    if (outcome instanceof Error && outcome.message === 'never settled')
      faults.push(`${payload} of ${scope} never settled`)
  }
  expect(faults, `${name}, seed ${seed}: ${faults.length} of ${calls.size} messages`).toEqual([])
  // it would hold of a form that publishes nothing, too
  expect(committed, `${name}, seed ${seed}: messages in the log`).toBeGreaterThan(calls.size / 10)
}

/** mulberry32 */
function generator(seed: number): Random {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
