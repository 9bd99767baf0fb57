import pg from 'pg'
import { describe, expect, it } from 'vitest'
import { createDispatcher, type DispatcherService } from '../../src/app/create-dispatcher.js'
import { migrate } from '../../src/db/migrate.js'
import { createPool, endPool } from '../../src/db/pool.js'
import { createWorker, enqueue } from '../../src/jobs/index.js'
import { runMaintenance } from '../../src/outbox/retention/index.js'
import { Queue } from '../../src/queue-facade/queue.js'
import { createTestDatabase } from '../support/database.js'
import { type HttpReceiver, startHttpReceiver } from '../support/http-receiver.js'
import { evilSchema, hostileSettings } from '../support/server-settings.js'
import { serviceUrl, type PostgresServer } from '../support/services.js'
import { eventually } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'
import { cli } from './cli-fixture.js'
import { memoryLogger } from './dispatching-fixture.js'

const ids = {
  plain: '01990000-0000-7000-8000-000000000001',
  dead: '01990000-0000-7000-8000-000000000002',
}
const awkward = `it's \\ "q" {a,NULL} ü ✓`

/** Settings that failed once: also on the oldest server that is tested. */
const found = ['dates, German', 'backslashes in texts', 'nulls in arrays', 'quoted names', 'replica', 'floats, rounded']
const cases: [PostgresServer, string][] = [
  ...Object.keys(hostileSettings).map((name): [PostgresServer, string] => ['pg18', name]),
  ...found.map((name): [PostgresServer, string] => ['pg15', name]),
]

/** A database whose every session gets the setting, migrated under it. */
async function hostileDatabase(server: PostgresServer, settings: readonly string[]): Promise<string> {
  const database = await createTestDatabase({ server, empty: true })
  await withClient(database.url, (client) => client.query(evilSchema))
  for (const setting of settings)
    await withClient(serviceUrl(server), (admin) => admin.query(`alter database ${database.name} set ${setting}`))
  await migrate(database.url)
  return database.url
}

type OnEnd = (release: () => Promise<void>) => void

function userPool(url: string, onEnd: OnEnd): pg.Pool {
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  pool.on('error', () => undefined)
  onEnd(() => pool.end())
  return pool
}

function configuration(url: string, receiver: HttpReceiver, shards: number) {
  const hook = { url: `${receiver.url}/hook`, allowNetworks: ['127.0.0.1'], backoff: { base: 20, cap: 100 } }
  return {
    database: { url },
    destinations: {
      hook: { kind: 'webhook', options: { ...hook, shards, deadOn: [422] } },
      work: { kind: 'jobs', options: { queue: 'default' } },
    },
    routes: { '**': 'hook', 'j.*': ['hook', 'work'] },
    log: { level: 'error' as const },
  }
}

async function dispatch(url: string, receiver: HttpReceiver, shards: number, onEnd: OnEnd): Promise<DispatcherService> {
  const config = configuration(url, receiver, shards) as unknown as Parameters<typeof createDispatcher>[0]
  const service = createDispatcher(config, { environment: {} })
  onEnd(() => service.stop({ drainMs: 0 }))
  await service.start()
  return service
}

/** All forms of publishing, in sessions of the user's. */
async function publishAll(client: pg.ClientBase): Promise<void> {
  const queue = new Queue()
  const soon = new Date(Date.now() + 800)
  await client.query('begin')
  await queue.publish('t.retry', { text: awkward }, { tx: client, key: awkward, id: ids.plain })
  await queue.publish('t.dead', 1, { tx: client, id: ids.dead, key: 'dead', headers: { a: `b\\c'd` } })
  await queue.publish('t.at', 1, { tx: client, at: soon })
  await queue.publish('t.delay', 1, { tx: client, delay: 500, dedupeKey: 'd', dedupeWindow: '1h' })
  await queue.publish('t.delay', 2, { tx: client, dedupeKey: 'd' })
  await queue.publishMany(
    [
      { topic: 'j.one', payload: 1, key: 'NULL' },
      { topic: 't.many', payload: [null, awkward], at: new Date(Date.now() - 5000), dedupeKey: 'null' },
      { topic: 't.many', payload: 3, headers: { b: 'c' }, delay: 600, to: ['hook'] },
      { topic: 't.many', payload: 4, key: awkward, keyLock: true },
    ],
    { tx: client },
  )
  await client.query(`select waybill.publish('t.sql', '{"a": 1}', key => 'k', headers => '{"a": "b"}')`)
  await client.query('commit')
  const { rows } = await client.query<{ topic: string; off: number }>(
    `select topic, abs(extract(epoch from run_at) * 1000 - $1::numeric)::int as off from waybill.scheduled where topic = 't.at'`,
    [soon.getTime()],
  )
  for (const row of rows) expect(row.off).toBeLessThan(5)
}

/** What is not valid is refused, however the session reads the texts of the functions that ask. */
async function refusals(url: string): Promise<void> {
  for (const [topic, key, headers] of [
    ['a b', 'k', '{}'],
    ['a.b', 'k\u0001', '{}'],
    ['a.b', 'k\u007f', '{}'],
    ['a.b', 'k', '{"A":"b"}'],
  ]) {
    // each in a session of its own, which an error may end
    const refused = withClient(url, (client) =>
      client.query('select waybill.publish($1::text, $2::json, $3::text, $4::json)', [topic, '1', key, headers]),
    )
    await expect(refused, `${topic} ${JSON.stringify(key)}`).rejects.toMatchObject({ code: '22023' })
  }
}

async function performJobs(pool: pg.Pool): Promise<void> {
  const seen: { name: string; createdAt: Date }[] = []
  const logger = memoryLogger()
  const worker = createWorker({
    pool,
    queues: { default: { concurrency: 2 } },
    backoff: { baseMs: 10, capMs: 20 },
    logger,
    handlers: {
      'j.one': (job: { name: string; createdAt: Date }) => void seen.push(job),
      'e.one': {
        run: (job: { attempt: number; name: string; createdAt: Date }) => {
          seen.push(job)
          if (job.attempt === 1) throw new Error(awkward)
        },
      },
    },
  })
  await worker.start()
  const client = await pool.connect()
  try {
    await enqueue(client, { name: 'e.one', args: { text: awkward }, runAt: new Date(Date.now() + 200) })
    await enqueue(client, { name: 'e.one', key: '', headers: { a: awkward } })
  } finally {
    client.release()
  }
  await eventually(async () => {
    const { rows } = await pool.query<{ state: string; n: number }>(
      'select state, count(*)::int as n from waybill.jobs group by state',
    )
    expect(rows, JSON.stringify(logger.lines)).toEqual([{ state: 'completed', n: 3 }])
  })
  await worker.stop()
  expect(seen).toHaveLength(5)
  for (const { createdAt } of seen) expect(Math.abs(createdAt.getTime() - Date.now())).toBeLessThan(60_000)
}

/** What people ask: every answer is JSON with true times, and `doctor` finds no fault of its own making. */
async function ask(url: string, receiver: HttpReceiver): Promise<void> {
  const { cwd, env } = { cwd: '/', env: { WAYBILL_DATABASE_URL: url } }
  const json = async <T>(...argv: string[]): Promise<T> => {
    const result = await cli([...argv, '--json'], { cwd, env })
    expect(result, `${argv.join(' ')}: ${result.stderr}${result.stdout}`).toMatchObject({ code: 0 })
    expect(result.stdout).not.toMatch(/Invalid Date|NaN/)
    return JSON.parse(result.stdout) as T
  }
  const recent = (time: string | null | undefined): void =>
    expect(Math.abs(new Date(time ?? NaN).getTime() - Date.now())).toBeLessThan(120_000)
  const undelivered = await json<{ parked: { id: string; since: string; state: string }[] }>('undelivered')
  expect(undelivered.parked).toMatchObject([{ id: ids.dead, state: 'dead' }])
  recent(undelivered.parked[0]?.since)
  // what was parked and delivered meanwhile is written down a moment later
  await eventually(async () => {
    const lanes = await json<{ destination: string; delivered: number; committedAt: string }[]>('status')
    expect(lanes.find((lane) => lane.destination === 'hook')?.delivered).toBe(8)
    for (const lane of lanes) recent(lane.committedAt)
  })
  for (const id of [ids.plain, ids.dead]) {
    const shown = await json<{ createdAt: string; key: string }[] | { createdAt: string; key: string }>('show', id)
    recent((Array.isArray(shown) ? shown[0] : shown)?.createdAt)
  }
  await json('destinations')
  // again, should a lock_timeout of 1 ms have struck it beside the dispatcher
  await eventually(async () => {
    const found = await json<{ check: string; level: string; what: string }[]>('doctor')
    expect(found.filter(({ level }) => level === 'error')).toEqual([])
  })
  expect(receiver.received().length).toBe(10)
}

async function maintain(url: string): Promise<void> {
  const pool = createPool({ connectionString: url })
  try {
    await withClient(url, (client) => client.query(`select setval('waybill.message_seq', 2500000)`))
    const { ran, tasks } = await runMaintenance(pool)
    expect({ ran, failed: tasks.filter((task) => task.error !== null) }).toEqual({ ran: true, failed: [] })
    const made = tasks.find(({ task }) => task === 'extend messages')?.result
    expect(made).toMatchObject({ busy: null })
    expect((made as { made: unknown[] }).made.length).toBeGreaterThan(0)
  } finally {
    await endPool(pool)
  }
}

describe('settings of the server', () => {
  it.concurrent.for(cases)('%s, %s: no result depends on it', { timeout: 120_000 }, async ([server, name], context) => {
    const { onTestFinished } = context
    const url = await hostileDatabase(server, hostileSettings[name] ?? [])
    const failing = new Set<string>()
    const receiver = await startHttpReceiver((request) => {
      const topic = String(request.headers['webhook-topic'])
      if (topic === 't.dead') return { status: 422 }
      if (topic !== 't.retry' || failing.has(topic)) return {}
      failing.add(topic)
      return { status: 500 }
    })
    const onEnd: OnEnd = (release) => onTestFinished(release)
    const pool = userPool(url, onEnd)
    const service = await dispatch(url, receiver, 1, onEnd)
    const client = new pg.Client({ connectionString: url })
    client.on('error', () => undefined)
    await client.connect()
    await publishAll(client)
    await refusals(url)
    const { rows } = await client.query<{ first: boolean; again: boolean }>(
      `select waybill.inbox_claim('c', 'i') as first, waybill.inbox_claim('c', 'i') as again`,
    )
    expect(rows).toEqual([{ first: true, again: false }])
    await client.end()
    await eventually(() => {
      const topics = receiver.received().map(({ headers }) => headers['webhook-topic'])
      expect(topics.sort()).toEqual(
        ['j.one', 't.at', 't.dead', 't.delay', 't.many', 't.many', 't.many', 't.retry', 't.retry', 't.sql'].sort(),
      )
    })
    await service.drain()
    await performJobs(pool)
    await ask(url, receiver)
    await service.stop()
    await maintain(url)
    // another number of shards, at a barrier
    const resharded = await dispatch(url, receiver, 2, onEnd)
    await eventually(() => expect(resharded.lanes().filter(({ name }) => name.destination === 'hook')).toHaveLength(2))
    receiver.forget()
    await new Queue({ pool }).publish('t.last', awkward, { tx: null, key: 'k' })
    const [last] = await receiver.waitForCount(1)
    expect(JSON.parse(String(last?.body))).toBe(awkward)
    await resharded.stop()
  })
})
