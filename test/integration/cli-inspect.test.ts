import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { eventually as poll } from '../support/wait-for.js'
import { cli, errorOf } from './cli-fixture.js'

/** Without LISTEN a dispatcher hears of an operator's act at its next heartbeat. */
const eventually = (assertion: () => unknown): Promise<unknown> => poll(assertion)

const database = useDatabase()
const crm = new ScriptedAdapter()
const lake = new ScriptedAdapter()
const ids: Record<string, string> = {}
let dispatcher: Dispatcher
const dead = { kind: 'dead', failure: { code: 'HTTP_422', message: 'no such customer 4711' } } as const

function run(...argv: string[]) {
  return cli([...argv, '--json'], { env: { WAYBILL_DATABASE_URL: database().url, USER: 'operator' } })
}

async function json<T>(...argv: string[]): Promise<T> {
  const result = await run(...argv)
  expect(result).toMatchObject({ code: 0, stderr: '' })
  return JSON.parse(result.stdout) as T
}

interface Undelivered {
  readonly pending: { destination: string; id: string; messages: number }[]
  readonly parked: { destination: string; id: string; state: string; key: string | null; error: string }[]
  readonly counts: { destination: string; state: string; fingerprint: string; n: number }[]
}

/** One dead and one held message of a key at crm, everything else delivered; lake has it all. */
beforeAll(async () => {
  const { pool } = database()
  crm.answer = (message) =>
    message.payload.includes('poison') ? dead : { kind: 'delivered', receipt: { status: 202 } }
  dispatcher = await startDispatcher({
    pool,
    destinations: {
      crm: { adapter: crm, patterns: ['order.*'], settings: { receipts: true } },
      lake: { adapter: lake },
    },
  })
  ids['good'] = await publish(pool, 'order.created', { n: 1 }, { key: 'a', headers: { source: 'shop' } })
  ids['dead'] = await publish(pool, 'order.created', { poison: true }, { key: 'b' })
  ids['held'] = await publish(pool, 'order.paid', { n: 2 }, { key: 'b' })
  ids['other'] = await publish(pool, 'customer.created', { n: 3 })
  await eventually(async () => {
    const { rows } = await pool.query<{ delivered: number }>(
      'select delivered::int from waybill.lane_status order by 1',
    )
    expect(rows.map((row) => row.delivered)).toEqual([1, 4])
  })
})
afterAll(() => dispatcher.stop())

describe('waybill status', () => {
  it('shows each lane, what is parked, and who holds it', async () => {
    const lanes = await json<Record<string, unknown>[]>('status')
    expect(lanes).toMatchObject([
      { destination: 'crm', shard: 0, condition: 'active', why: null, dead: 1, held: 1, heldKeys: 1, retrying: 0 },
      { destination: 'lake', shard: 0, condition: 'active', dead: 0, held: 0, delivered: 4, dispatcher: 'test' },
    ])
    const [table] = [await cli(['status'], { env: { WAYBILL_DATABASE_URL: database().url } })]
    expect(table.stdout).toMatch(/^LANE +STATE +LAG +BEHIND +RATE\/S/)
  })

  it('names the destinations there are when there is none of that name', async () => {
    const result = await run('status', '--destination', 'crn')
    expect(result.code).toBe(1)
    expect(errorOf(result)).toEqual({
      code: 'WAYBILL_NOT_FOUND',
      message: 'no destination is called "crn"; deployed are: crm, lake',
    })
  })
})

describe('waybill undelivered', () => {
  it('lists what is parked, with why', async () => {
    const { pending, parked, counts } = await json<Undelivered>('undelivered')
    expect(pending).toEqual([])
    expect(parked).toMatchObject([
      { destination: 'crm', state: 'dead', id: ids['dead'], key: 'b', error: 'no such customer 4711' },
      { destination: 'crm', state: 'held', id: ids['held'], key: 'b' },
    ])
    expect(counts).toEqual([
      { destination: 'crm', state: 'dead', fingerprint: 'HTTP_422: no such customer #', n: 1 },
      { destination: 'crm', state: 'held', fingerprint: null, n: 1 },
    ])
  })
  it('narrows by every option', async () => {
    const found = async (...options: string[]) => (await json<Undelivered>('undelivered', ...options)).parked.length
    expect(await found('--state', 'dead')).toBe(1)
    expect(await found('--topic', 'order.paid')).toBe(1)
    expect(await found('--key', 'a')).toBe(0)
    expect(await found('--fingerprint', 'HTTP_422: no such customer #')).toBe(1)
    expect(await found('--destination', 'lake')).toBe(0)
    expect(await found('--limit', '1')).toBe(1)
    expect(await json('undelivered', '--groups')).toHaveLength(2)
  })
})

describe('waybill show', () => {
  interface Shown {
    readonly place: string
    readonly destinations: {
      destination: string
      state: string
      basis: string
      attempts: unknown[]
      receipts: unknown[]
    }[]
    readonly payload?: string
    readonly headers?: string
  }
  const brief = ({ destinations }: Shown) =>
    destinations.map(({ destination, state, basis }) => `${destination} ${state} ${basis}`)

  it('says of each destination what became of the message, and how that is known', async () => {
    const good = await json<Shown>('show', ids['good'] as string)
    expect(brief(good)).toEqual(['crm delivered receipt', 'lake delivered position'])
    expect(good.destinations[0]?.receipts).toMatchObject([{ attempt: 1, receipt: { status: 202 } }])
    expect(good).not.toHaveProperty('payload')
    const deadOne = await json<Shown>('show', ids['dead'] as string)
    expect(brief(deadOne)).toEqual(['crm dead parked', 'lake delivered position'])
    expect(deadOne.destinations[0]?.attempts).toMatchObject([{ outcome: 'dead', code: 'HTTP_422' }])
    expect(brief(await json<Shown>('show', ids['held'] as string))).toEqual([
      'crm held parked',
      'lake delivered position',
    ])
    expect(brief(await json<Shown>('show', ids['other'] as string))).toEqual(['lake delivered position'])
  })

  it('shows payload and headers only when asked to', async () => {
    const shown = await json<Shown>('show', ids['good'] as string, '--payload')
    expect(shown).toMatchObject({ payload: '{"n":1}', headers: '{"source":"shop"}' })
  })

  it('finds a message for later, and one that nobody knows', async () => {
    const { rows } = await database().pool.query<{ id: string }>(
      `select waybill.publish('order.created', '{}', run_at => now() + interval '1 hour') as id`,
    )
    expect(await json<Shown>('show', rows[0]?.id as string)).toMatchObject({ place: 'scheduled', destinations: [] })
    const missing = await run('show', '01976d2e-0000-7000-8000-000000000000')
    expect(missing.code).toBe(1)
    expect(errorOf(missing).code).toBe('WAYBILL_NOT_FOUND')
    expect((await run('show', 'order-1')).code).toBe(2)
  })

  it('says skipped of what was published before a destination began', async () => {
    const late = await createTestDatabase()
    const early = await publish(late.pool, 'order.created', {})
    const options = { pool: late.pool, fingerprint: 'x' }
    const first = await startDispatcher({ ...options, destinations: { lake: { adapter: new ScriptedAdapter() } } })
    await first.stop()
    const adapter = new ScriptedAdapter()
    const second = await startDispatcher({
      ...options,
      fingerprint: 'y',
      destinations: { crm: { adapter, settings: { from: 'latest' } } },
    })
    const next = await publish(late.pool, 'order.created', {})
    await eventually(() => expect(adapter.ids()).toEqual([next]))
    await second.stop()
    const shown = await cli(['show', early, '--json'], { env: { WAYBILL_DATABASE_URL: late.url } })
    expect(brief(JSON.parse(shown.stdout) as Shown)).toEqual(['crm skipped position', 'lake pending position'])
    await late.drop()
  })
})

describe('waybill retry and drop', () => {
  it('refuse to take nothing for everything', async () => {
    for (const argv of [['retry'], ['drop', '--reason', 'x']]) {
      const result = await run(...argv)
      expect(result.code).toBe(2)
      expect(errorOf(result).message).toContain('say which')
    }
    expect((await run('drop', ids['dead'] as string)).code).toBe(2)
    expect((await run('retry', '--all', '--key', 'b')).code).toBe(2)
    expect((await run('retry', ids['good'] as string)).code).toBe(1)
  })

  it('say with --dry-run what they would do, and do nothing', async () => {
    const planned = await json<{ dryRun: boolean; count: number }>('retry', '--all', '--dry-run')
    expect(planned).toMatchObject({ dryRun: true, count: 2 })
    expect((await json<Undelivered>('undelivered', '--state', 'dead')).parked).toHaveLength(1)
  })

  it('retry what is dead: it goes out again, and is audited', async () => {
    const before = crm.attempts.length
    expect(await json('retry', ids['dead'] as string, '--reason', 'mended')).toMatchObject({ retried: 1 })
    await eventually(async () => {
      expect(crm.attempts.length).toBe(before + 1)
      expect((await json<Undelivered>('undelivered', '--state', 'dead')).parked).toHaveLength(1)
    })
    const { rows } = await database().pool.query('select on_behalf_of, action, target, reason from waybill.audit')
    expect(rows).toEqual([
      { on_behalf_of: 'operator', action: 'retry', target: { message: ids['dead'], count: 1 }, reason: 'mended' },
    ])
  })

  it('drop by several choices, all of which must fit; what was held goes on', async () => {
    expect(await json('drop', '--key', 'b', '--state', 'dead', '--topic', 'order.paid', '--reason', 'r')).toMatchObject(
      {
        dropped: 0,
      },
    )
    const dropped = await cli(['drop', '--key', 'b', '--state', 'dead', '--reason', 'cancelled'], {
      env: { WAYBILL_DATABASE_URL: database().url },
    })
    expect(dropped).toMatchObject({ code: 0, stderr: '' })
    expect(dropped.stdout).toMatch(/^DESTINATION +STATE.*\ncrm +dead .*\ndropped 1\n$/)
    await eventually(() => expect(crm.ids()).toContain(ids['held']))
    await eventually(async () => expect((await json<Undelivered>('undelivered')).parked).toEqual([]))
    const shown = await json<{ destinations: { state: string }[] }>('show', ids['dead'] as string)
    expect(shown.destinations[0]?.state).toBe('dropped')
  })

  it('lock lanes before deliveries, as commits do: an act and a commit end in no deadlock', async () => {
    const { pool } = database()
    const id = await publish(pool, 'order.created', { poison: true }, { key: 'c' })
    await eventually(async () => expect((await json<Undelivered>('undelivered')).parked).toHaveLength(1))
    const [commit, operator] = [await pool.connect(), await pool.connect()]
    await commit.query('begin')
    // the order of waybill.lane_commit: its lane, then its deliveries
    await commit.query(`select from waybill.lanes where destination = 'crm' for share`)
    const { rows } = await operator.query<{ pid: number }>('select pg_backend_pid() as pid')
    const acted = operator.query<{ n: number }>('select waybill.retry(p_message => $1) as n', [id])
    await eventually(async () => {
      const blocked = await pool.query('select from pg_locks where pid = $1 and not granted', [rows[0]?.pid])
      expect(blocked.rowCount).toBe(1)
    })
    await commit.query('update waybill.deliveries set updated_at = clock_timestamp() where message_id = $1', [id])
    await commit.query('commit')
    expect((await acted).rows[0]?.n).toBe(1)
    commit.release()
    operator.release()
    await json('drop', id, '--reason', 'test')
  })
})

describe('waybill destinations', () => {
  it('lists what is deployed', async () => {
    expect(await json('destinations')).toMatchObject([
      { name: 'crm', kind: 'scripted', configured: true, patterns: ['order.*'], lanes: 1 },
      { name: 'lake', patterns: ['**'] },
    ])
  })

  it('removes one only when told so, with its parked deliveries, and its holder lets go', async () => {
    const { pool } = database()
    const id = await publish(pool, 'order.created', { poison: true }, { key: 'd' })
    await eventually(async () => expect((await json<Undelivered>('undelivered')).parked).toHaveLength(1))
    const asked = await run('destinations', 'remove', 'crm')
    expect(asked.code).toBe(1)
    expect(JSON.parse(asked.stdout)).toMatchObject({ removed: false, name: 'crm', loss: { dead: 1, lanes: 1 } })
    expect(asked.stderr).toContain('still configured')
    expect(await json('destinations')).toHaveLength(2)

    const removed = await run('destinations', 'remove', 'crm', '--yes', '--reason', 'partner left')
    expect(removed.code).toBe(0)
    expect(JSON.parse(removed.stdout)).toMatchObject({ removed: true, dropped: 1 })
    expect(await json('destinations')).toMatchObject([{ name: 'lake' }])
    await eventually(() => expect(dispatcher.lanes().map(({ name }) => name.destination)).toEqual(['lake']))
    const shown = await json<{ destinations: { destination: string; state: string }[] }>('show', id)
    expect(shown.destinations[0]).toMatchObject({ destination: 'crm', state: 'dropped' })
    const { rows } = await pool.query(
      `select on_behalf_of, target, reason from waybill.audit where action = 'remove_destination'`,
    )
    expect(rows).toEqual([
      { on_behalf_of: 'operator', target: { destination: 'crm', lanes: 1, dropped: 1 }, reason: 'partner left' },
    ])
    expect((await run('destinations', 'remove', 'crm', '--yes')).code).toBe(1)
  })
})
