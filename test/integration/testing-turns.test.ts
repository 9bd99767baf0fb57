import pg from 'pg'
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest'
import { Queue } from '../../src/index.js'
import { deliverNow, type FakeDeliveries } from '../../src/testing/index.js'
import { spawnChild } from '../support/children.js'
import { createTestDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'

const crm = (): undefined => undefined
const payloadsOf = ({ delivered }: FakeDeliveries): unknown[] => delivered.map(({ payload }) => payload)

function poolOf(url: string, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max })
  pool.on('error', () => undefined)
  onTestFinished(() => void pool.end())
  return pool
}

/** A call whose fake holds its turn until it is let go. */
async function holdTurn(pool: pg.Pool): Promise<{ letGo: () => void; done: Promise<{ crm: FakeDeliveries }> }> {
  await new Queue({ pool }).publish('order.created', 1, { tx: null })
  let letGo = (): void => undefined
  let isHeld = false
  const held = new Promise<void>((resolve) => (letGo = resolve))
  const fake = (): Promise<void> => {
    isHeld = true
    return held
  }
  const done = deliverNow({ pool, destinations: { crm: fake }, timeout: '2m' })
  await waitFor(() => isHeld)
  return { letGo, done }
}

describe('calls of deliverNow at once', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  it.each([3, 10])('are done one after another, as many as the pool of %i has connections, and more', async (max) => {
    const { url, pool: own } = await createTestDatabase()
    const pool = poolOf(url, max)
    await new Queue({ pool: own }).publish('order.created', 1, { tx: null })
    let busy = 0
    const fake = async (): Promise<void> => {
      expect(++busy).toBe(1)
      await new Promise((resolve) => setTimeout(resolve, 20))
      busy--
    }
    const calls = Array.from({ length: max + 2 }, (_, n) =>
      deliverNow({ pool, destinations: { [`crm${n}`]: fake }, timeout: '20s' }),
    )
    const done = await Promise.all(calls)
    // each fake has a name of its own, so gets the whole log
    expect(done.flatMap((fakes) => Object.values(fakes).map(payloadsOf))).toEqual(calls.map(() => [1]))
    expect(Object.values(done).flatMap((fakes) => Object.values(fakes).flatMap(({ failed }) => failed))).toEqual([])
  })

  it('take turns with those of other pools, and hold no connection while they wait', async () => {
    const { url, pool } = await createTestDatabase()
    const other = poolOf(url, 3)
    const { letGo, done } = await holdTurn(pool)
    const beside = deliverNow({ pool: other, destinations: { crm } })
    const sameAsFirst = deliverNow({ pool, destinations: { crm } })
    await waitFor(() => other.totalCount > 0)
    const idle = (): boolean => other.idleCount === other.totalCount
    await waitFor(idle)
    await new Queue({ pool }).publish('order.created', 2, { tx: null })
    letGo()
    expect(payloadsOf((await done).crm)).toEqual([1, 2])
    expect([payloadsOf((await beside).crm), payloadsOf((await sameAsFirst).crm)]).toEqual([[], []])
  })

  it('take turns with those of another process, which has its time limit while it waits', async () => {
    const { url, pool } = await createTestDatabase()
    const { letGo, done } = await holdTurn(pool)
    const child = spawnChild<{ call: string; code?: string; message?: string; payloads?: unknown[] }>(
      new URL('../support/fixtures/deliver-now-child.ts', import.meta.url).pathname,
      { args: [url] },
    )
    const late = await child.waitForMessage(({ call }) => call === 'short')
    expect(late).toMatchObject({
      code: 'WAYBILL_TESTING_TIMEOUT',
      message: expect.stringContaining('a call of another process') as string,
    })
    await new Queue({ pool }).publish('order.created', 2, { tx: null })
    letGo()
    expect(payloadsOf((await done).crm)).toEqual([1, 2])
    const { payloads } = await child.waitForMessage(({ call }) => call === 'long')
    expect(payloads).toEqual([[], [], []])
    await child.exited
  })

  it('give way to another process between two of them', async () => {
    const { url, pool } = await createTestDatabase()
    const { letGo, done } = await holdTurn(pool)
    const ended: string[] = []
    const note = (name: string, call: Promise<unknown>): Promise<unknown> => call.then(() => ended.push(name))
    const mine = Array.from({ length: 6 }, (_, n) => note(`mine ${n}`, deliverNow({ pool, destinations: { crm } })))
    const other = note('other', deliverNow({ pool: poolOf(url, 3), destinations: { crm } }))
    letGo()
    await Promise.all([done, other, ...mine])
    expect(ended.indexOf('other')).toBeLessThan(4)
  })

  it('have a time limit while they wait for a turn, and leave the next one its own', async () => {
    const { pool } = await createTestDatabase()
    const { letGo, done } = await holdTurn(pool)
    const late = deliverNow({ pool, destinations: { crm }, timeout: 300 })
    const later = deliverNow({ pool, destinations: { crm } })
    await expect(late).rejects.toMatchObject({
      code: 'WAYBILL_TESTING_TIMEOUT',
      message: 'deliverNow: not done within 300 ms: another call of this process was under way',
    })
    letGo()
    expect(payloadsOf((await done).crm)).toEqual([1])
    expect(payloadsOf((await later).crm)).toEqual([])
  })

  it('have a time limit while they wait for a connection, and give back one that comes later', async () => {
    const { url } = await createTestDatabase()
    const pool = poolOf(url, 3)
    const taken = await Promise.all([pool.connect(), pool.connect(), pool.connect()])
    await expect(deliverNow({ pool, destinations: { crm }, timeout: 300 })).rejects.toMatchObject({
      code: 'WAYBILL_TESTING_TIMEOUT',
      message: expect.stringContaining('the pool gave no connection') as string,
    })
    for (const client of taken) client.release()
    await waitFor(() => pool.idleCount === 3)
    expect(payloadsOf((await deliverNow({ pool, destinations: { crm } })).crm)).toEqual([])
  })

  it('end in time where the database does not answer in the middle', async () => {
    const { pool } = await createTestDatabase()
    const locker = await pool.connect()
    await locker.query('begin')
    await locker.query('lock table waybill.configurations')
    const startedAt = performance.now()
    await expect(deliverNow({ pool, destinations: { crm }, timeout: 500 })).rejects.toMatchObject({
      code: 'WAYBILL_TESTING_TIMEOUT',
    })
    expect(performance.now() - startedAt).toBeLessThan(5000)
    await locker.query('rollback')
    locker.release()
    expect(payloadsOf((await deliverNow({ pool, destinations: { crm } })).crm)).toEqual([])
  })

  it('say that timers stand still where the test has put its own in their place', async () => {
    const { pool } = await createTestDatabase()
    await new Queue({ pool }).publish('order.created', 1, { tx: null })
    const never = { crm: () => new Promise(() => undefined) }
    await expect(deliverNow({ pool, destinations: never, timeout: '1s' })).rejects.toMatchObject({
      message: expect.not.stringContaining('fake timers') as string,
    })
    vi.useFakeTimers()
    await expect(deliverNow({ pool, destinations: { crm }, timeout: '1s' })).rejects.toMatchObject({
      code: 'WAYBILL_TESTING_TIMEOUT',
      message: expect.stringContaining('fake timers stand still') as string,
    })
    vi.useRealTimers()
    const { crm: done } = await deliverNow({ pool, destinations: { crm } })
    expect(done.failed).toEqual([])
  })
})
