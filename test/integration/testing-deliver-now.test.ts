import pg from 'pg'
import { describe, expect, it, onTestFinished } from 'vitest'
import { Queue } from '../../src/index.js'
import { deliverNow, type DeliveredMessage, type FakeDeliveries } from '../../src/testing/index.js'
import { createTestDatabase, useDatabase, type TestDatabase } from '../support/database.js'

const payloadsOf = (messages: readonly { readonly payload: unknown }[]): unknown[] =>
  messages.map(({ payload }) => payload)
const nothing: FakeDeliveries = { delivered: [], failed: [], dead: [], held: [] }

const queueOf = ({ pool }: Pick<TestDatabase, 'pool'>): Queue => new Queue({ pool })

describe.each(['pg18', 'pg15'] as const)('deliverNow on %s', (server) => {
  const database = useDatabase({ server })
  const own = () => createTestDatabase({ server })

  it('hands what is committed to the fakes of its routes, in order, once', async () => {
    const { pool, url } = await own()
    const queue = queueOf({ pool })
    const seen: DeliveredMessage[] = []
    const destinations = { crm: (message: DeliveredMessage) => seen.push(message), audit: () => undefined }
    const routes = { 'order.*': ['crm', 'audit', 'warehouse'], 'user.**': 'audit' }
    const open = await pool.connect()
    onTestFinished(() => open.release())
    await open.query('begin')
    await queue.publish('order.created', 'uncommitted', { tx: open })
    const id = await queue.publish('order.created', { n: 1 }, { tx: null, key: 'o1', headers: { tenant: 'a' } })
    await queue.publish('user.seen.twice', 2, { tx: null })
    await queue.publish('order.paid', 3, { tx: null, key: 'o1' })
    const first = await deliverNow({ pool, destinations, routes })
    expect(payloadsOf(first.crm.delivered)).toEqual([{ n: 1 }, 3])
    expect(payloadsOf(first.audit.delivered)).toEqual([{ n: 1 }, 2, 3])
    expect(seen).toEqual(first.crm.delivered)
    expect(seen[0]).toEqual({
      ...{ id, topic: 'order.created', key: 'o1', payload: { n: 1 }, payloadText: '{"n":1}' },
      ...{ headers: { tenant: 'a' }, createdAt: expect.any(Date) as Date, attempt: 1 },
    })
    await open.query('commit')
    // a connection string does as well, and its pool is closed
    const second = await deliverNow({ connectionString: url, destinations, routes })
    expect(payloadsOf(second.crm.delivered)).toEqual(['uncommitted'])
    expect(await deliverNow({ pool, destinations, routes })).toEqual({ crm: nothing, audit: nothing })
    expect((await pool.query('select from waybill.dispatchers')).rowCount).toBe(0)
    expect((await pool.query('select from waybill.lanes where holder is not null')).rowCount).toBe(0)
  })

  it('tries again what a fake refuses, gives it up at last, and leaves nothing of it behind', async () => {
    const { pool } = await own()
    const queue = queueOf({ pool })
    const publish = (n: number, key: string) => queue.publish('order.created', n, { tx: null, key })
    for (const [n, key] of [[1, 'a'], [2, 'a'], [3, 'b'], [4, 'a'], [5, 'c']] as const) await publish(n, key) // prettier-ignore
    const crm = ({ payload, attempt }: DeliveredMessage): void => {
      if (payload === 1 || (payload === 5 && attempt === 1)) throw new RangeError(`no ${String(payload)}`)
    }
    const { crm: done } = await deliverNow({ pool, destinations: { crm } })
    expect(payloadsOf(done.delivered)).toEqual([3, 5])
    expect(done.failed.map(({ message, error }) => [message.payload, message.attempt, String(error)]).sort()).toEqual([
      [1, 1, 'RangeError: no 1'],
      [1, 2, 'RangeError: no 1'],
      [1, 3, 'RangeError: no 1'],
      [5, 1, 'RangeError: no 5'],
    ])
    expect(payloadsOf(done.dead)).toEqual([1])
    expect(payloadsOf(done.held)).toEqual([2, 4])
    expect((await pool.query('select from waybill.deliveries')).rowCount).toBe(0)
    await publish(6, 'a')
    const next = await deliverNow({ pool, destinations: { crm } })
    expect(next).toEqual({ crm: { ...nothing, delivered: [expect.objectContaining({ payload: 6 })] } })
  })

  it('takes the delivery options of a destination', async () => {
    const { pool } = await own()
    const queue = queueOf({ pool })
    for (const n of [1, 2]) await queue.publish('order.created', n, { tx: null, key: 'a' })
    const crm = ({ payload }: DeliveredMessage) => (payload === 1 ? Promise.reject(new Error('no')) : undefined)
    const { crm: released } = await deliverNow({ pool, destinations: { crm }, onDead: 'release', maxAttempts: 1 })
    expect([payloadsOf(released.delivered), released.failed.length, payloadsOf(released.dead)]).toEqual([[2], 1, [1]])
    for (const n of [1, 2]) await queue.publish('order.created', n, { tx: null, key: 'a' })
    const { crm: unordered } = await deliverNow({ pool, destinations: { crm }, order: 'none', maxAttempts: 2 })
    expect([payloadsOf(unordered.delivered), unordered.failed.length]).toEqual([[2], 2])
  })

  it('delivers what is scheduled when its time has come, by the clock that the test gives', async () => {
    const { pool } = await own()
    const queue = queueOf({ pool })
    const at = new Date(Date.now() + 86_400_000)
    await queue.publishMany(
      [
        { topic: 'remind.later', payload: 'a day', at },
        { topic: 'remind.later', payload: '10m', delay: '10m' },
        { topic: 'remind.later', payload: '5m', delay: '5m' },
        { topic: 'remind.later', payload: '5m too', delay: '5m' },
        { topic: 'remind.later', payload: 'now' },
      ],
      { tx: null },
    )
    const got = async (now?: Date | `+${string}`): Promise<unknown[]> => {
      const { crm } = await deliverNow({ pool, destinations: { crm: () => undefined }, now })
      return payloadsOf(crm.delivered)
    }
    expect(await got()).toEqual(['now'])
    expect(await got('+4m')).toEqual([])
    expect(await got('+1h')).toEqual(['5m', '5m too', '10m'])
    expect(await got(new Date(at.getTime() - 1))).toEqual([])
    const { rows } = await pool.query<{ run_at: Date }>('select run_at from waybill.scheduled')
    expect(rows).toEqual([{ run_at: at }])
    expect(await got(at)).toEqual(['a day'])
    expect((await pool.query('select from waybill.scheduled')).rowCount).toBe(0)
  })

  it('delivers what the fakes themselves publish, also for later', async () => {
    const { pool } = await own()
    const queue = queueOf({ pool })
    const crm = async ({ payload }: DeliveredMessage): Promise<void> => {
      const n = payload as number
      if (n < 3) await queue.publish('order.created', n + 1, { tx: null })
      if (n === 3) await queue.publish('order.created', 4, { tx: null, delay: '1m' })
    }
    await queue.publish('order.created', 1, { tx: null })
    const { crm: done } = await deliverNow({ pool, destinations: { crm }, now: '+5m' })
    expect(payloadsOf(done.delivered)).toEqual([1, 2, 3, 4])
  })

  it('knows the fakes of earlier calls, so that a message may name them', async () => {
    const { pool } = await own()
    const queue = queueOf({ pool })
    await deliverNow({ pool, destinations: { crm: () => undefined }, routes: {} })
    await deliverNow({ pool, destinations: { mail: () => undefined }, routes: {} })
    await queue.publish('order.created', 1, { tx: null, to: ['crm'] })
    await queue.publish('order.created', 2, { tx: null })
    const done = await deliverNow({
      pool,
      destinations: { crm: () => undefined, mail: () => undefined },
      routes: {},
    })
    expect([payloadsOf(done.crm.delivered), done.mail.delivered]).toEqual([[1], []])
  })

  it('hands over hundreds in order, one at a time', async () => {
    const { pool } = await own()
    const numbers = Array.from({ length: 700 }, (_, n) => n)
    await queueOf({ pool }).publishMany(
      numbers.map((n) => ({ topic: 'order.created', payload: n, key: `k${n % 7}` })),
      { tx: null },
    )
    let busy = 0
    const crm = async (): Promise<void> => {
      expect(++busy).toBe(1)
      await new Promise(setImmediate)
      busy--
    }
    const done = await deliverNow({ pool, destinations: { crm } })
    expect(done.crm.failed).toEqual([])
    expect(payloadsOf(done.crm.delivered)).toEqual(numbers)
  })

  it('refuses a database with real destinations, and changes nothing in it', async () => {
    const { pool } = await own()
    await pool.query(
      `insert into waybill.destinations (name, kind, generation) values ('crm', 'webhook', 1), ('bus', 'kafka', 1)`,
    )
    await queueOf({ pool }).publish('order.created', 1, { tx: null })
    const state = async (): Promise<unknown> => {
      const tables = ['destinations', 'configurations', 'routes', 'lanes', 'dispatchers', 'scheduled', 'messages']
      return Promise.all(tables.map(async (table) => (await pool.query<object>(`select * from waybill.${table}`)).rows))
    }
    const before = await state()
    const refused = deliverNow({ pool, destinations: { mail: () => expect.fail('called') }, now: '+1h' })
    await expect(refused).rejects.toMatchObject({
      code: 'WAYBILL_TESTING_REFUSED',
      message: expect.stringContaining('bus (kafka), crm (webhook)') as string,
    })
    expect(await state()).toEqual(before)
    // one that was taken out of the configuration counts by its name alone
    await pool.query('update waybill.destinations set configured = false')
    await expect(deliverNow({ pool, destinations: { crm: () => undefined } })).rejects.toThrow('crm (webhook)')
    expect((await deliverNow({ pool, destinations: { mail: () => undefined } })).mail.delivered).toHaveLength(1)
  })

  it('says which fake does not answer, and the next call starts afresh', async () => {
    const { pool } = await own()
    const id = await queueOf({ pool }).publish('order.created', 1, { tx: null })
    const hanging = deliverNow({ pool, destinations: { crm: () => new Promise(() => undefined) }, timeout: '2s' })
    await expect(hanging).rejects.toMatchObject({
      code: 'WAYBILL_TESTING_TIMEOUT',
      message: expect.stringContaining(`crm has not answered for order.created ${id} (attempt 1)`) as string,
    })
    const { crm } = await deliverNow({ pool, destinations: { crm: () => undefined } })
    expect(payloadsOf(crm.delivered)).toEqual([1])
  })

  it('lists everything that is wrong with a call', async () => {
    const small = new pg.Pool({ connectionString: database().url, max: 2 })
    onTestFinished(() => small.end())
    const call = deliverNow({
      ...{ pool: small, destinations: { Crm: 1 as never }, routes: { '**.x': 'crm' }, now: '5m' as never },
      ...{ maxAttempts: 0, order: 'any' as never, onDead: 'x' as never, timeout: 'long', route: {} },
    })
    const problems = await call.catch((error: { problems: { path: string }[] }) =>
      error.problems.map(({ path }) => path),
    )
    expect(problems).toEqual([
      ...['route', 'pool', 'destinations.Crm', 'destinations.Crm', 'routes["**.x"]', 'maxAttempts'],
      ...['order', 'onDead', 'now', 'timeout'],
    ])
    await expect(deliverNow({ destinations: {} })).rejects.toMatchObject({ code: 'WAYBILL_TESTING_INVALID' })
  })
})
