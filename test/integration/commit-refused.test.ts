import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import { publish, ScriptedAdapter } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { count, delivered, useDispatching } from './dispatching-fixture.js'

const half = '\ud83d'

describe('what comes from outside', () => {
  const { pool, start } = useDispatching()

  it.each([
    ['half a surrogate pair', `x${half}y`],
    ['half of one that a cut makes', `${'x'.repeat(1999)}\u{1f680}${'y'.repeat(100)}`],
    ['U+0000', 'a\u0000b'],
  ])('is stored although it has %s: in a failure, a receipt and the reason of a pause', async (_, text) => {
    const adapter = new ScriptedAdapter({ maxBatch: 1 })
    const outcomes: Outcome[] = [
      { kind: 'retry', failure: { code: `E${half}\u0000`, message: text } },
      { kind: 'pause', failure: { code: 'DOWN', message: text } },
      { kind: 'delivered', receipt: { text } },
    ]
    // it is down until the lane's row has been seen to say so
    let seen = false
    adapter.answer = () => (outcomes.length === 2 && !seen ? outcomes[0] : outcomes.shift()) ?? delivered
    const settings = { receipts: true }
    await publish(pool(), 'order.created', {}, { key: 'k' })
    await start({ destinations: { crm: { adapter, settings } } })
    await waitFor(async () => (await pausedFor()).includes('DOWN: '))
    seen = true
    await waitFor(async () => (await count(pool(), 'receipts')) === 1 && (await count(pool(), 'deliveries')) === 0)
    expect(adapter.delivered).toHaveLength(1)
    const { rows } = await pool().query<{ message: string }>(
      `select message from waybill.attempts where outcome = 'retry'`,
    )
    expect(rows[0]?.message).toContain('\ufffd')
  })

  async function pausedFor(): Promise<string> {
    const { rows } = await pool().query<{ why: string | null }>('select pause_reason as why from waybill.lanes')
    return rows[0]?.why ?? ''
  }
})

describe('a commit that the database refuses', () => {
  const { pool, start } = useDispatching()
  const failing: Outcome = { kind: 'retry', failure: { code: 'HTTP_500', message: 'forbidden words' } }
  const lane = async (): Promise<Record<string, unknown>> =>
    (await pool().query<Record<string, unknown>>('select state, pause_kind, pause_reason from waybill.lanes'))
      .rows[0] ?? {}

  async function publishAround(): Promise<{ bad: string; good: string[] }> {
    const good: string[] = []
    for (let i = 0; i < 10; i++) good.push(await publish(pool(), 'order.created', { i }, { key: `k${i}` }))
    const bad = await publish(pool(), 'order.created', {}, { key: 'bad' })
    for (let i = 10; i < 20; i++) good.push(await publish(pool(), 'order.created', { i }, { key: `k${i}` }))
    return { bad, good }
  }

  it('for a text is made again without the texts: nothing is sent twice', async () => {
    await pool().query(`alter table waybill.attempts add constraint no_words check (message not like '%forbidden%')`)
    try {
      const { bad, good } = await publishAround()
      const adapter = new ScriptedAdapter({ maxBatch: 1 })
      adapter.answer = ({ id }) => (id === bad ? failing : delivered)
      await start({ destinations: { crm: { adapter, settings: { maxAttempts: 1 } } } })
      await waitFor(async () => (await count(pool(), 'deliveries')) === 1 && adapter.delivered.length === 20)
      expect(adapter.ids().sort()).toEqual([...good].sort())
      expect(adapter.attempts.filter(({ id }) => id === bad)).toHaveLength(1)
      const { rows } = await pool().query('select code, message from waybill.attempts')
      expect(rows).toEqual([{ code: 'HTTP_500', message: 'the database refused the text of this failure' }])
    } finally {
      await pool().query('alter table waybill.attempts drop constraint no_words')
    }
  })

  it('for anything else pauses the lane, which says why and sends nothing; it goes on when it is taken', async () => {
    await pool().query(`alter table waybill.attempts add constraint no_rows check (attempt < 0) not valid`)
    const { bad, good } = await publishAround()
    const adapter = new ScriptedAdapter({ maxBatch: 1 })
    adapter.answer = ({ id }) => (id === bad ? failing : delivered)
    let dropped = false
    try {
      await start({ destinations: { crm: { adapter, settings: { maxAttempts: 1 } } } })
      await waitFor(async () => (await lane())['state'] === 'paused')
      expect(await lane()).toEqual({
        state: 'paused',
        pause_kind: 'refused',
        pause_reason: expect.stringMatching(/^COMMIT_REFUSED: SQLSTATE 23514: .*no_rows/) as string,
      })
      const later = await publish(pool(), 'order.created', {}, { key: 'later' })
      // several more tries of the commit
      await new Promise((resolve) => setTimeout(resolve, 1500))
      expect(adapter.attempts.length).toBe(new Set(adapter.attempts.map(({ id }) => id)).size)
      expect(adapter.ids()).not.toContain(later)
      await pool().query('alter table waybill.attempts drop constraint no_rows')
      dropped = true
      await waitFor(() => adapter.ids().includes(later))
      await waitFor(async () => (await lane())['state'] === 'active')
      expect(adapter.ids().sort()).toEqual([...good, later].sort())
      expect(adapter.attempts.filter(({ id }) => id === bad)).toHaveLength(1)
    } finally {
      if (!dropped) await pool().query('alter table waybill.attempts drop constraint no_rows')
    }
  })

  it('again at each start makes the lane wait longer each time, and say so', async () => {
    // a row that is there already: what the lane knows is out of date, and it starts again
    await pool().query(`
      create function pg_temp_refuse() returns trigger language plpgsql as
        $f$ begin raise exception using errcode = '23505', message = 'there already'; end $f$;
      create trigger refuse before insert on waybill.positions for each row when (new.n > 0) execute function pg_temp_refuse()`)
    try {
      await publish(pool(), 'order.created', {})
      const adapter = new ScriptedAdapter({ maxBatch: 1 })
      const restarts: string[] = []
      await start({
        destinations: { crm: { adapter } },
        hooks: { onLaneRestart: (_lane, reason) => void restarts.push(reason) },
      })
      await waitFor(async () => (await lane())['pause_kind'] === 'restarting')
      expect((await lane())['pause_reason']).toMatch(/^STARTS_AGAIN: 3 times in a row.*there already/)
      const before = adapter.attempts.length
      await new Promise((resolve) => setTimeout(resolve, 3000))
      // a quarter of a second apart before: twelve more
      expect(adapter.attempts.length - before).toBeLessThan(8)
      expect(restarts.length).toBeGreaterThanOrEqual(3)
    } finally {
      await pool().query('drop trigger refuse on waybill.positions; drop function pg_temp_refuse()')
    }
    await waitFor(async () => (await lane())['state'] === 'active', { timeoutMs: 30_000 })
  })
})
