import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import type { DeliverContext, OutboundMessage } from '../../src/adapters/contract.js'
import { useDatabase } from '../support/database.js'
import { nonceOf } from '../support/incarnation.js'
import { ScriptedAdapter } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { gate, useDispatching } from './dispatching-fixture.js'
import { everythingAbove } from '../../src/outbox/delta.js'
import { PostgresLogReader } from '../../src/outbox/log-reader.js'
import { takeTick } from '../../src/outbox/tick.js'

const database = useDatabase()
const mebibyte = 1024 * 1024

test('a page holds about 8 MiB of payloads, and the pages together hold every message once, whole', async () => {
  const { pool } = database()
  // random text, which PostgreSQL cannot compress much; small ones between the large
  await pool.query(
    `insert into waybill.messages (id, topic, payload)
     select gen_random_uuid(), 'large', to_json(case when g % 3 = 0 then 'small' else
              (select string_agg(md5(random()::text || i || g), '') from generate_series(1, 24000) i) end)
       from generate_series(1, 60) g`,
  )
  const { rows: expected } = await pool.query<{ seq: string; hash: string }>(
    'select seq, md5(payload::text) as hash from waybill.messages order by seq',
  )
  const delta = everythingAbove(0, await takeTick(pool, 0))
  const reader = new PostgresLogReader(pool, await nonceOf(pool))
  const seen: { seq: number; payload: string }[] = []
  let pages = 0
  for (let after = 0, drained = false; !drained; pages++) {
    const page = await reader.page({ delta, after, limit: 1000, span: 2000, filter: null })
    const bytes = page.messages.reduce((sum, { payload }) => sum + payload.length, 0)
    expect(bytes).toBeLessThan(9 * mebibyte)
    seen.push(...page.messages)
    ;({ after, drained } = page)
  }
  expect(pages).toBeGreaterThanOrEqual(4)
  expect(seen.map(({ seq }) => String(seq))).toEqual(expected.map(({ seq }) => seq))
  const { rows } = await pool.query<{ hash: string }>(
    `select md5(p) as hash from unnest($1::text[]) with ordinality u(p, i) order by i`,
    [seen.map(({ payload }) => payload)],
  )
  expect(rows.map(({ hash }) => hash)).toEqual(expected.map(({ hash }) => hash))
})

describe('a call of the adapter', () => {
  const { pool, start } = useDispatching()

  test('has about 4 MiB of payloads at most, but for its last message; all arrive in order', async () => {
    const calls: number[] = []
    class Measuring extends ScriptedAdapter {
      override deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
        calls.push(batch.reduce((bytes, { payload }) => bytes + payload.length, 0))
        return super.deliver(batch, context)
      }
    }
    const adapter = new Measuring({ concurrency: 1, ordered: true, maxBatch: 500 })
    const { rows } = await pool().query<{ id: string }>(
      `with published as (
         insert into waybill.messages (id, topic, key, payload)
         select gen_random_uuid(), 'large', 'one', to_json(repeat('x', case when g = 20 then 6 else 1 end * $1::int))
           from generate_series(1, 40) g
         returning id, seq)
       select id from published order by seq`,
      [mebibyte],
    )
    await start({ destinations: { sink: { adapter } } })
    await waitFor(() => adapter.delivered.length >= rows.length)
    expect(adapter.ids()).toEqual(rows.map(({ id }) => id))
    expect(Math.max(...calls)).toBeGreaterThan(4 * mebibyte)
    expect(calls.filter((bytes) => bytes > 5.1 * mebibyte)).toHaveLength(1)
    expect(Math.max(...calls)).toBeLessThan(10.1 * mebibyte)
  })
})

describe.each(['pg18', 'pg15'] as const)('what is compressed in the log, on %s', (server) => {
  const { pool, start } = useDispatching(server)
  /** Texts that are stored at a hundredth of what they are. */
  const insert = (count: number, size: number, header = 0): Promise<unknown> =>
    pool().query(
      `insert into waybill.messages (id, topic, key, payload, headers)
       select gen_random_uuid(), 'large', gen_random_uuid()::text, to_json(repeat('x', $2::int)),
              case when $3::int > 0 then json_build_object('x', repeat('y', $3::int)) end
         from generate_series(1, $1::int) g`,
      [count, size, header],
    )
  async function readAll(limit: number): Promise<{ pages: number[]; seqs: number[] }> {
    const delta = everythingAbove(0, await takeTick(pool(), 0))
    const reader = new PostgresLogReader(pool(), await nonceOf(pool()))
    const pages: number[] = []
    const seqs: number[] = []
    for (let after = 0, drained = false; !drained;) {
      const page = await reader.page({ delta, after, limit, span: 2000, filter: null })
      pages.push(
        page.messages.reduce((sum, { payload, headers }) => sum + payload.length + JSON.stringify(headers).length, 0),
      )
      seqs.push(...page.messages.map(({ seq }) => seq))
      ;({ after, drained } = page)
    }
    return { pages, seqs }
  }
  const all = async (): Promise<number[]> =>
    (await pool().query<{ seq: number }>('select seq::int from waybill.messages order by seq')).rows.map(
      ({ seq }) => seq,
    )

  test.each([
    ['payloads', 60, mebibyte, 0],
    ['payloads that would be small as stored', 900, 150_000, 0],
    ['headers', 60, 10, 900_000],
    ['both, each of them small', 900, 9000, 9000],
  ])('a page holds about 8 MiB of %s, unpacked, and nothing is left out', async (_, count, size, header) => {
    await insert(count, size, header)
    const { pages, seqs } = await readAll(1000)
    expect(seqs).toEqual(await all())
    for (const bytes of pages) expect(bytes).toBeLessThan(17 * mebibyte)
    expect(pages.length).toBeGreaterThanOrEqual(Math.floor((count * (size + header)) / (17 * mebibyte)))
  })

  test('two of one seq stay on one page, however large', async () => {
    await insert(3, 6 * mebibyte)
    await pool().query('update waybill.messages set seq = (select min(seq) from waybill.messages)')
    await insert(1, 6 * mebibyte)
    const { seqs } = await readAll(10)
    expect(seqs).toEqual(await all())
  })

  test('what has more than any message may have is dead without being read, and the lane goes on', async () => {
    await pool().query(
      'alter domain waybill.payload drop constraint payload_size; alter domain waybill.headers drop constraint headers_size',
    )
    await insert(1, 66 * mebibyte)
    await pool().query(
      `insert into waybill.messages (id, topic, key, payload) values (gen_random_uuid(), 'large', repeat('k', 1000000), '1'),
         (gen_random_uuid(), repeat('t', 1000000), 'k', '1')`,
    )
    await insert(1, 10, 66 * mebibyte)
    await insert(2, 10)
    const adapter = new ScriptedAdapter()
    await start({ destinations: { sink: { adapter, patterns: ['**'] } } })
    await waitFor(() => adapter.delivered.length >= 2)
    await waitFor(async () => (await pool().query('select from waybill.deliveries')).rowCount === 4)
    const { rows } = await pool().query(
      `select state, error_code, substr(error, 1, 16) as error, octet_length(key) as key from waybill.deliveries order by seq`,
    )
    expect(rows).toEqual([
      { state: 'dead', error_code: 'MALFORMED', error: 'its payload and ', key: 36 },
      { state: 'dead', error_code: 'MALFORMED', error: 'its key is empty', key: 4097 },
      { state: 'dead', error_code: 'MALFORMED', error: 'its topic is not', key: 1 },
      { state: 'dead', error_code: 'MALFORMED', error: 'its payload and ', key: 36 },
    ])
    // retried, it is still not read
    await pool().query(`select waybill.retry(p_destination => 'sink')`)
    await waitFor(async () => {
      const found = await pool().query(`select from waybill.deliveries where state = 'dead' and updated_at > parked_at`)
      return found.rowCount === 4
    })
    expect(adapter.delivered).toHaveLength(2)
  })

  test('parked deliveries are read a page’s bytes at a time, and all of them arrive', async () => {
    await insert(40, mebibyte)
    const delta = everythingAbove(0, await takeTick(pool(), 0))
    const reader = new PostgresLogReader(pool(), await nonceOf(pool()))
    const asked = await all()
    expect(delta.to.ceiling).toBeGreaterThanOrEqual(asked.at(-1) ?? 0)
    let left = [...asked, 999_999]
    let times = 0
    for (; left.length > 1; times++) {
      const { messages, later } = await reader.load(left)
      expect(messages.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(9.1 * mebibyte)
      expect(messages.length + later.length).toBe(left.length - 1)
      left = [...later.map(({ seq }) => seq), 999_999]
    }
    expect(times).toBe(5)
    const adapter = new ScriptedAdapter({ concurrency: 64, maxBatch: 1 })
    const failed = new Set<string>()
    adapter.answer = ({ id }) => {
      if (failed.has(id)) return { kind: 'delivered' }
      failed.add(id)
      return { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } }
    }
    await start({ destinations: { sink: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 40, { timeoutMs: 30_000 })
    expect(new Set(adapter.ids()).size).toBe(40)
  })

  test('messages with large headers count as such in a call of the adapter', async () => {
    const calls: number[] = []
    class Measuring extends ScriptedAdapter {
      override deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
        calls.push(batch.length)
        return super.deliver(batch, context)
      }
    }
    const adapter = new Measuring({ concurrency: 1, ordered: true, maxBatch: 500 })
    await insert(20, 10, 900_000)
    await start({ destinations: { sink: { adapter } } })
    await waitFor(() => adapter.delivered.length >= 20)
    expect(Math.max(...calls)).toBeLessThanOrEqual(5)
  })

  test('what is settled takes no memory while one that is slow holds the window, nor after it', async () => {
    const collect = collector()
    await insert(1, 10)
    await insert(160, mebibyte)
    const slow = gate()
    const adapter = new ScriptedAdapter({ concurrency: 4, maxBatch: 1 })
    let settled = 0
    adapter.answer = async ({ payload }) => {
      adapter.attempts.length = 0
      adapter.delivered.length = 0
      if (payload.length < 100) await slow.opened
      settled++
      return { kind: 'delivered' }
    }
    collect()
    const before = process.memoryUsage().heapUsed
    const dispatcher = await start({ destinations: { sink: { adapter, settings: { slowAfterMs: 60_000 } } } })
    await waitFor(() => settled >= 160, { timeoutMs: 60_000 })
    collect()
    expect((process.memoryUsage().heapUsed - before) / mebibyte).toBeLessThan(60)
    slow.open()
    await dispatcher.drain(AbortSignal.timeout(20_000))
    expect(settled).toBe(161)
  })
})

/** Collects garbage. */
function collector(): () => void {
  setFlagsFromString('--expose_gc')
  return runInNewContext('gc') as () => void
}
