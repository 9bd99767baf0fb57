import { describe, expect, test } from 'vitest'
import type { DeliverContext, OutboundMessage } from '../../src/adapters/contract.js'
import { useDatabase } from '../support/database.js'
import { nonceOf } from '../support/incarnation.js'
import { ScriptedAdapter } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { useDispatching } from './dispatching-fixture.js'
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
