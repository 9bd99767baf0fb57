import { randomUUID } from 'node:crypto'
import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { inTransaction } from '../../src/db/transaction.js'
import { deploy } from '../../src/outbox/configuration-store.js'
import { acquireLane, beat, renewLane } from '../../src/outbox/dispatcher-store.js'
import { commitLane, type LaneFence } from '../../src/outbox/lane-store.js'
import { rebaseRestored } from '../../src/outbox/rebase.js'
import { recoverSequence } from '../../src/outbox/sequence-recovery.js'
import { createTestDatabase } from '../support/database.js'
import { makeDispatcher, publish, ScriptedAdapter, startDispatcher, testSettings } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const me = { id: randomUUID(), name: 'd', host: 'h', pid: 1, version: '0', generation: 1, leaseMs: 15_000 }

describe('a lane that starts again after its session was lost', () => {
  it('is beyond the reach of what was sent before, though that writes no position', async () => {
    const { pool, url } = await createTestDatabase()
    const own = new pg.Pool({ connectionString: url, max: 4, application_name: 'waybill dispatcher' })
    own.on('error', () => undefined)
    const adapter = new ScriptedAdapter()
    const dispatcher = await startDispatcher({ pool: own, destinations: { crm: { adapter } } })
    const read = async () => {
      const { rows } = await pool.query<{ id: number; epoch: string; holder: string; nonce: string }>(
        'select l.id, l.epoch::text, l.holder, i.nonce from waybill.lanes l, waybill.incarnation i',
      )
      return rows[0] as (typeof rows)[0]
    }
    await publish(pool, 'order.created', {})
    await waitFor(() => adapter.delivered.length === 1)
    const before = await read()
    const fence: LaneFence = { ...before, laneId: before.id }
    await pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'waybill dispatcher' and datname = current_database()`,
    )
    await publish(pool, 'order.created', {})
    await waitFor(() => adapter.delivered.length >= 2)
    const after = await read()
    expect(after.holder).toBe(before.holder)
    // the server got to it late: it would park a message that the lane has read again, and does not know to be parked
    const row = { seq: 1, id: randomUUID(), state: 'retrying' as const, attempt: 1, in: 0, code: 'X', error: 'x' }
    const commit = {
      ...{ position: null, newDelta: false, updated: [], settled: [], attempts: [], receipts: [] },
      parked: [{ ...row, fingerprint: 'f', topic: 'order.created', key: 'k' }],
    }
    await expect(commitLane(pool, fence, commit)).rejects.toMatchObject({ code: 'WAYBILL_STALE_HOLDER' })
    expect(await commitLane(pool, { ...fence, epoch: after.epoch }, commit)).toBe(true)
    await dispatcher.stop()
    await own.end()
  })

  it('waits for the one that has the row already, and for no lane that is another’s', async () => {
    const { pool } = await createTestDatabase()
    await makeDispatcher({ pool, destinations: { crm: { adapter: new ScriptedAdapter() } } })
    const { nonce, lanes } = await beat(pool, me)
    const lane = lanes[0] as (typeof lanes)[0]
    const holder = randomUUID()
    const epoch = (await acquireLane(pool, lane, { holder, dispatcher: me.id, nonce, generation: 1 }, 2000)) as string
    const fence = { laneId: lane.id, epoch, holder, nonce }
    await inTransaction(pool, async (client) => {
      await client.query('select from waybill.lanes for share')
      await expect(renewLane(pool, fence, 50)).rejects.toMatchObject({ code: '55P03' })
    })
    const renewed = await renewLane(pool, fence, 2000)
    expect(Number(renewed)).toBe(Number(epoch) + 1)
    // the answer was lost: it is asked again with what is known
    expect(Number(await renewLane(pool, fence, 2000))).toBe(Number(epoch) + 2)
    const stale = { code: 'WAYBILL_STALE_HOLDER' }
    await expect(renewLane(pool, { ...fence, holder: randomUUID() }, 2000)).rejects.toMatchObject(stale)
    const elsewhere = { code: 'WAYBILL_STALE_INCARNATION' }
    await expect(renewLane(pool, { ...fence, nonce: randomUUID() }, 2000)).rejects.toMatchObject(elsewhere)
  })
})

describe('whoever takes a lane whose row is blocked', () => {
  it.each([
    ['waybill dispatcher', true],
    ['waybill cli', false],
    ['psql', false],
  ])('ends a session called %j that has it for long: %s', async (name, ends) => {
    const { pool, url } = await createTestDatabase()
    await makeDispatcher({ pool, destinations: { crm: { adapter: new ScriptedAdapter() } } })
    const blocker = new pg.Client({ connectionString: url, application_name: name })
    let ended = false
    blocker.on('error', () => (ended = true))
    blocker.on('end', () => (ended = true))
    await blocker.connect()
    await blocker.query('begin')
    await blocker.query('select from waybill.lanes for update')
    await new Promise((resolve) => setTimeout(resolve, 2100))
    const { nonce, lanes } = await beat(pool, me)
    const take = { holder: randomUUID(), dispatcher: me.id, nonce, generation: 1 }
    expect(await acquireLane(pool, lanes[0] as (typeof lanes)[0], take, 100)).toBeUndefined()
    if (ends) await waitFor(() => ended)
    else {
      await blocker.query('commit') // it got to its end
      expect(ended).toBe(false)
    }
    await blocker.end().catch(() => undefined)
  })
})

describe('a lane on its way out of the terms of another server', () => {
  it('is not accused while it has a plan, which stays, though the sequence is set back meanwhile', async () => {
    const { pool } = await createTestDatabase()
    const destinations = [{ ...testSettings, name: 'crm', kind: 'scripted', settings: {}, patterns: ['**'] }]
    for (let i = 0; i < 30; i++) await publish(pool, 'order.created', { i })
    await deploy(pool, {
      fingerprint: 'f',
      generation: undefined,
      destinations: destinations.map((d) => ({ ...d, from: 'latest' as const })),
    })
    for (let i = 0; i < 5; i++) await publish(pool, 'order.created', { i })
    // rows that came with a dump carry no xid of this server
    await pool.query(`update waybill.cluster set xid = '3'`)
    expect((await rebaseRestored(pool))?.lanes).toHaveLength(1)
    const plan = async (): Promise<string[]> => {
      const { rows } = await pool.query<{ delta: string }>(
        'select d::text as delta from waybill.planned_deltas d order by n',
      )
      return rows.map(({ delta }) => delta)
    }
    const planned = await plan()
    expect(planned).toHaveLength(3)
    await pool.query(`select setval('waybill.message_seq', 10)`)
    for (let i = 0; i < 3; i++) await publish(pool, 'order.created', { again: i })
    const { reread, before } = await recoverSequence(pool)
    expect(before.ok).toBe(false)
    expect(reread).toEqual([])
    expect(await plan()).toEqual(planned)
  })
})
