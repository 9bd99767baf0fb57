import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { rabbitDestination } from '../contract/rabbitmq-fixture.js'
import { createTestDatabase } from '../support/database.js'
import { publish } from '../support/dispatching.js'
import { type Reply, startHttpReceiver } from '../support/http-receiver.js'
import { amqpUrl } from '../support/rabbitmq.js'
import { waitFor } from '../support/wait-for.js'
import { startService } from './outage-fixture.js'

interface Scene {
  readonly bad: number
  readonly good: number
  readonly topic: string
  readonly reply: Reply
  readonly concurrency: number
  readonly mixed?: boolean
  readonly options?: object
}

/** Bad messages before the good ones, or between them; resolves when every good one has arrived. */
async function endpoint({ bad, good, topic, reply, concurrency, mixed = false, options = {} }: Scene) {
  const database = await createTestDatabase()
  const { pool } = database
  const arrived = new Set<number>()
  let refused = 0
  const receiver = await startHttpReceiver(({ body }) => {
    const { n, isBad } = JSON.parse(body.toString()) as { n: number; isBad: boolean }
    if (isBad) refused++
    else arrived.add(n)
    return isBad ? reply : {}
  })
  const all = mixed
    ? Array.from({ length: bad + good }, (_, n) => n % 2 === 0 && n / 2 < bad)
    : [...Array<boolean>(bad).fill(true), ...Array<boolean>(good).fill(false)]
  for (const [n, isBad] of all.entries())
    await publish(pool, isBad ? topic : 'order.created', { n, isBad }, { key: `k${n}` })
  const from = performance.now()
  const { events } = await startService(database, {
    destinations: {
      crm: {
        kind: 'webhook',
        options: { url: receiver.url, allowNetworks: ['127.0.0.0/8'], concurrency, ...options } as object,
      },
    },
    routes: { '**': ['crm'] },
  })
  await waitFor(() => arrived.size >= all.filter((isBad) => !isBad).length, { what: 'the good messages' })
  const ms = performance.now() - from
  // each verdict takes another that gets through
  await waitFor(
    async () => {
      await publish(pool, 'order.created', { n: -1, isBad: false })
      return (await pool.query<{ n: number }>('select count(*)::int as n from waybill.deliveries')).rows[0]?.n === bad
    },
    { what: 'the verdict of every bad message' },
  )
  const { rows } = await pool.query<{ state: string; attempt: number }>(
    'select distinct state, attempt from waybill.deliveries',
  )
  return { ms, events, parked: rows, pool, refused: () => refused }
}

describe('a webhook that refuses some messages as if it were down', () => {
  it.each([
    ['two at the head with one call at a time (403)', { bad: 2, good: 40, reply: { status: 403 }, concurrency: 1 }],
    ['two that cut the connection', { bad: 2, good: 40, reply: 'destroy' as const, concurrency: 1 }],
    ['forty at the head (403)', { bad: 40, good: 60, reply: { status: 403 }, concurrency: 16 }],
    ['twenty that cut the connection', { bad: 20, good: 60, reply: 'destroy' as const, concurrency: 16 }],
  ])('%s: all others get through, and those are parked', async (_, scene) => {
    const { parked, refused } = await endpoint({ ...scene, topic: 'order.created' })
    expect(parked.every(({ state }) => state === 'retrying')).toBe(true)
    // a lost connection is tried twice in one attempt
    expect(refused()).toBeLessThanOrEqual(scene.bad * (scene.reply === 'destroy' ? 12 : 6))
  })

  it.each([403, 503])('one topic of two (%i): the other goes at full speed', async (status) => {
    const { events } = await endpoint({
      ...{ bad: 100, good: 100, topic: 'bad.topic', mixed: true },
      ...{ reply: { status }, concurrency: 16 },
    })
    // a pause for each of them before
    expect(events.filter((event) => event.startsWith('onPause')).length).toBeLessThan(20)
  })

  it('one that it throttles for long: it is parked until then, and the others go on at once', async () => {
    const { ms, refused, parked } = await endpoint({
      ...{ bad: 1, good: 200, topic: 'order.created' },
      ...{ reply: { status: 429, headers: { 'retry-after': '300' } }, concurrency: 16 },
    })
    expect(ms).toBeLessThan(60_000)
    expect(refused()).toBe(1)
    expect(parked).toEqual([{ state: 'retrying', attempt: 1 }])
  })

  it('one that is parked, and nothing beside it: each of its attempts waits longer, though none is charged', async () => {
    const { pool, refused } = await endpoint({
      ...{ bad: 1, good: 5, topic: 'order.created', reply: { status: 403 }, concurrency: 4 },
      options: { backoff: { base: '20ms', cap: '10s' } },
    })
    const before = refused()
    await sleep(3000)
    expect(refused() - before).toBeGreaterThan(1)
    // 20 ms doubled each time; some forty where it was always the second wait
    expect(refused() - before).toBeLessThan(15)
    expect((await pool.query('select 1 from waybill.deliveries where attempt > 3')).rowCount).toBe(0)
  })

  it('retries without end beside a suspect: the lane pauses, for they tell nothing of it', async () => {
    const { pool } = await endpoint({
      ...{ bad: 4, good: 20, topic: 'order.created', reply: 'hang', concurrency: 8 },
      options: { timeoutMs: 300, backoff: { base: '1ms', cap: '1ms' }, maxAttempts: 1000 },
    })
    await publish(pool, 'order.created', { n: -2, isBad: true }, { key: 'one more' })
    await waitFor(
      async () => {
        const { rows } = await pool.query<{ state: string }>('select state from waybill.lanes')
        return rows[0]?.state === 'paused'
      },
      { what: 'the pause', timeoutMs: 20_000 },
    )
  })
})

it('RabbitMQ closes the connection for three messages in the middle: all others arrive, and those are parked', async () => {
  const database = await createTestDatabase()
  const { pool } = database
  const destination = await rabbitDestination()
  const headers = { big: 'x'.repeat(20_000) } // above the frame that is negotiated
  for (let n = 0; n < 600; n++)
    await publish(pool, 'order.created', { n }, { key: `k${n}`, ...(n >= 300 && n < 303 && { headers }) })
  await startService(database, {
    destinations: {
      broker: {
        kind: 'rabbitmq',
        options: { url: `${amqpUrl()}?frameMax=8192`, exchange: destination.exchange } as object,
      },
    },
    routes: { '**': ['broker'] },
  })
  await waitFor(async () => {
    const { rows } = await pool.query<{ n: number }>(
      `select count(*)::int as n from waybill.deliveries where error_code = 'AMQP_CONNECTION_LOST' and attempt > 0`,
    )
    return rows[0]?.n === 3
  })
  const distinct = async (): Promise<number> =>
    new Set((await destination.received()).map(({ payload }) => payload.toString())).size
  await waitFor(async () => (await distinct()) === 597, { what: '597 messages' })
})
