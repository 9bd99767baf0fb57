import type pg from 'pg'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { requireSchema } from '../../src/app/database.js'
import { assertSchema, migrate, pendingMigrations } from '../../src/db/migrate.js'
import { waybillTables } from '../../src/db/hidden-tables.js'
import type { Dispatcher } from '../../src/dispatcher/dispatcher.js'
import { createWorker } from '../../src/jobs/index.js'
import { everythingAbove } from '../../src/outbox/delta.js'
import { PostgresLogReader } from '../../src/outbox/log-reader.js'
import { runMaintenance } from '../../src/outbox/retention/index.js'
import { laneFloors } from '../../src/outbox/retention/lane-floors.js'
import { takeTick } from '../../src/outbox/tick.js'
import { createTestDatabase, useDatabase } from '../support/database.js'
import { makeDispatcher, publish, ScriptedAdapter, type TestDispatcherOptions } from '../support/dispatching.js'
import { nonceOf } from '../support/incarnation.js'
import { dispatcherRole, type OwnRole } from '../support/role.js'
import { waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'
import { cli } from './cli-fixture.js'
import { memoryLogger } from './dispatching-fixture.js'

const hidden = 'WAYBILL_ROWS_HIDDEN'

describe.each(['pg18', 'pg15'] as const)('row-level security that is switched on, on %s', (server) => {
  const database = useDatabase({ server })
  let role: OwnRole
  const running: Dispatcher[] = []
  const owner = (): pg.Pool => database().pool
  const secured = new Set<string>()
  const secure = async (table: string): Promise<void> => {
    secured.add(table)
    await owner().query(`alter table waybill.${table} enable row level security`)
  }
  const open = async (table: string): Promise<void> => {
    secured.delete(table)
    await owner().query(`alter table waybill.${table} disable row level security`)
  }

  beforeAll(async () => {
    role = await dispatcherRole(database())
  })
  afterEach(async () => {
    for (const table of secured) await open(table)
    await Promise.all(running.splice(0).map((dispatcher) => dispatcher.stop({ drainMs: 500 })))
    await owner().query(
      'truncate waybill.destinations, waybill.messages, waybill.scheduled, waybill.configurations, waybill.dispatchers cascade',
    )
  })

  async function start(options: Partial<TestDispatcherOptions> = {}) {
    const adapter = new ScriptedAdapter()
    const logger = memoryLogger()
    const pauses: string[] = []
    const dispatcher = await makeDispatcher({
      ...{ pool: role.pool, destinations: { crm: { adapter } }, logger },
      hooks: {
        onPause: (_lane, { kind }) => void pauses.push(kind),
        onResume: () => void pauses.push('on'),
      },
      ...options,
    })
    running.push(dispatcher)
    await dispatcher.start()
    return { adapter, dispatcher, logger, pauses }
  }

  it('is noticed by the read of a page itself, while publishing goes on; taken away, everything arrives', async () => {
    // a lease so long that no heartbeat comes by itself
    const { adapter, pauses, logger } = await start({ leaseMs: 300_000 })
    const ids: string[] = []
    const publishing = new AbortController()
    const publisher = (async () => {
      while (!publishing.signal.aborted) ids.push(await publish(owner(), 'order.created', { i: ids.length }))
    })()
    await waitFor(() => adapter.delivered.length > 20)
    await secure('messages')
    await waitFor(() => pauses.includes('hidden'), { what: 'the pause' })
    const published = ids.length
    await waitFor(() => ids.length > published + 100)
    const lane = async () =>
      (
        await owner().query<{ kind: string; reason: string }>(
          'select pause_kind as kind, pause_reason as reason from waybill.lanes',
        )
      ).rows[0]
    await waitFor(async () => (await lane())?.kind === 'hidden')
    expect((await lane())?.reason).toContain(
      `row-level security hides rows of waybill.messages from the role ${role.name}`,
    )
    expect(adapter.delivered.length).toBeLessThan(published + 1)
    const starts = (): number => logger.lines.filter(({ message }) => message.startsWith('lane starts again')).length
    const started = starts()
    await new Promise((resolve) => setTimeout(resolve, 1200))
    expect(starts() - started, 'starts while it waits').toBeLessThanOrEqual(1)
    await open('messages')
    await waitFor(() => adapter.delivered.length > published + 100)
    publishing.abort()
    await publisher
    await waitFor(() => ids.every((id) => adapter.ids().includes(id)), { what: 'all that was published' })
    expect(adapter.ids().filter((id, i, all) => all.indexOf(id) === i)).toEqual(ids)
    await waitFor(async () => (await lane())?.kind === null)
    expect(pauses.slice(0, 2)).toEqual(['hidden', 'on'])
  })

  const tables = ['messages', 'lanes', 'positions', 'deltas', 'planned_deltas', 'deliveries', 'dropped', 'scheduled']
  it.each([...tables, 'incarnations', 'dispatchers', 'cluster', 'destinations'])(
    'on waybill.%s makes a dispatcher stand still, and say so, until it is taken away',
    async (table) => {
      const { adapter, dispatcher, logger, pauses } = await start({ leaseMs: 1500 })
      const first = await publish(owner(), 'order.created', {}, { key: 'k' })
      await waitFor(() => adapter.ids().includes(first))
      await secure(table)
      await waitFor(() => pauses.includes('hidden'), { what: 'the pause' })
      const said = logger.lines
        .filter(({ level }) => level === 'error')
        .map(({ fields, message }) => (fields['err'] instanceof Error ? fields['err'].message : message))
      expect(said.find((text) => text.includes(`rows of waybill.${table} from the role ${role.name}`))).toBeDefined()
      const ids: string[] = []
      for (let i = 0; i < 5; i++) ids.push(await publish(owner(), 'order.created', { i }, { key: 'k' }))
      await expect(dispatcher.drain(AbortSignal.timeout(700))).rejects.toThrow()
      expect(new Set(adapter.ids())).toEqual(new Set([first]))
      await open(table)
      await waitFor(() => ids.every((id) => adapter.ids().includes(id)), { what: 'what was published meanwhile' })
      // what was not committed yet when it was switched on comes again
      const once = adapter.ids().filter((id, i, all) => all.indexOf(id) === i)
      expect(once).toEqual([first, ...ids])
    },
  )

  it.each(waybillTables)('on waybill.%s is why nothing starts, in words', async (table) => {
    await secure(table)
    const refusal: unknown = expect.objectContaining({
      code: hidden,
      message: expect.stringMatching(
        new RegExp(
          `row-level security hides rows of waybill.${table} from the role ${role.name}.*alter table waybill.${table} disable row level security.*alter role ${role.name} bypassrls`,
        ),
      ) as string,
    })
    await expect(requireSchema(role.pool)).rejects.toEqual(refusal)
    await expect(requireSchema(owner())).resolves.toBeUndefined()
    if (table === 'migrations') {
      const client = await role.pool.connect()
      await expect(pendingMigrations(client)).rejects.toEqual(refusal)
      await expect(migrate(client)).rejects.toEqual(refusal)
      await expect(assertSchema(client)).rejects.toEqual(refusal)
      client.release()
    }
  })

  it('keeps what lanes need from being dropped by one who is shown no lanes', async () => {
    await start()
    const floors = async () => {
      const client = await role.pool.connect()
      return laneFloors(client).finally(() => client.release())
    }
    expect(await floors()).toHaveLength(1)
    for (const table of ['lanes', 'positions', 'deltas', 'planned_deltas', 'deliveries']) {
      await secure(table)
      await expect(floors(), table).rejects.toMatchObject({ code: hidden })
      await expect(runMaintenance(role.pool)).rejects.toMatchObject({ code: hidden })
      await open(table)
    }
  })

  it('makes a worker refuse to start, and one that runs wait', async () => {
    const worker = () =>
      createWorker({
        ...{ pool: role.pool, queues: { mail: { concurrency: 2 } }, logger: memoryLogger() },
        handlers: { send: ({ args }) => void ran.push(args) },
      })
    const ran: unknown[] = []
    const job = (n: number): Promise<unknown> =>
      owner().query(
        `insert into waybill.jobs (id, message_id, queue, name, args) select i, i, 'mail', 'send', $1 from (select gen_random_uuid() as i) x`,
        [JSON.stringify(n)],
      )
    await secure('jobs')
    await expect(worker().start()).rejects.toMatchObject({ code: hidden })
    await open('jobs')
    const works = worker()
    await works.start()
    await job(1)
    await waitFor(() => ran.length === 1)
    await secure('jobs')
    await job(2)
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(ran).toEqual([1])
    await open('jobs')
    await waitFor(() => ran.length === 2, { what: 'the job that was hidden' })
    await works.stop()
  })

  it('does not count where it is a partition that has it, as those that maintenance makes then may', async () => {
    await secure('messages_p1')
    const id = await publish(owner(), 'order.created', {})
    await requireSchema(role.pool)
    const delta = everythingAbove(0, await takeTick(role.pool, 0))
    const page = await new PostgresLogReader(role.pool, await nonceOf(owner())).page({
      ...{ delta, after: 0, limit: 10_000, span: 1_000_000, filter: null },
    })
    expect(page.messages.map((message) => message.id)).toContain(id)
    await open('messages_p1')
  })
})

describe('a view in the place of a table', () => {
  it('is told from the table: nothing starts, and a page that is read meanwhile fails', async () => {
    const database = await createTestDatabase()
    const { pool } = database
    const reader = new PostgresLogReader(pool, await nonceOf(pool))
    const request = { delta: everythingAbove(0, await takeTick(pool, 0)), after: 0, limit: 10, span: 100, filter: null }
    const far = { ...request, delta: { ...request.delta, to: { ...request.delta.to, ceiling: 9 } } }
    expect((await reader.page(far)).messages).toEqual([])
    await pool.query('alter table waybill.messages rename to kept')
    await pool.query('create view waybill.messages as select * from waybill.kept where false')
    await expect(reader.page(far)).rejects.toMatchObject({ code: '42703' })
    await expect(reader.load([1])).rejects.toMatchObject({ code: '42703' })
    await expect(requireSchema(pool)).rejects.toMatchObject({
      code: hidden,
      message: expect.stringContaining('waybill.messages is no table') as string,
    })
  })
})

describe('a host that switches row-level security on for each new table', () => {
  it('is told of by migrate, doctor and every command, with what to run', async () => {
    const database = await createTestDatabase({ empty: true })
    const { pool, url } = database
    await pool.query(`create function public.secure_all() returns event_trigger language plpgsql as $$
      declare r record;
      begin
        for r in select * from pg_event_trigger_ddl_commands() where command_tag = 'CREATE TABLE' loop
          execute format('alter table %s enable row level security', r.object_identity);
        end loop;
      end $$;
      create event trigger secure_all on ddl_command_end when tag in ('CREATE TABLE') execute function public.secure_all()`)
    const env = (as: string) => ({ env: { WAYBILL_DATABASE_URL: as, WAYBILL_DIRECT_URL: '' } })
    const migrated = await cli(['migrate'], env(url))
    expect(migrated).toMatchObject({ code: 0, stderr: '' })
    expect(migrated.stdout).toMatch(
      /row-level security is on for waybill.attempts, .*alter table waybill.messages disable row level security/s,
    )
    const role = await dispatcherRole(database)
    for (const argv of [['status'], ['undelivered'], ['maintain'], ['migrate', '--check']]) {
      const { code, stderr } = await cli(argv, env(role.url))
      expect(code, argv.join(' ')).not.toBe(0)
      expect(stderr, argv.join(' ')).toContain(`from the role ${role.name}`)
      expect(stderr).not.toContain('run `waybill migrate`')
    }
    const asRole = await cli(['doctor'], env(role.url))
    expect(asRole.stdout).toMatch(/ERROR schema: row-level security hides rows of waybill.attempts/)
    const asOwner = await cli(['doctor'], env(url))
    expect(asOwner.stdout).toMatch(/warn +drift: row-level security is on for waybill.attempts/i)
    // what it says puts it right
    const [, sql] = /Run: (.*); and keep/.exec(migrated.stdout) ?? []
    await pool.query(sql ?? '')
    expect((await cli(['status'], env(role.url))).code).toBe(0)
  })
})

describe("Waybill's functions", () => {
  it('would rather fail than see a part of a table, but for those that only publish', async () => {
    const { pool } = await createTestDatabase()
    const { rows } = await pool.query<{ name: string }>(`
      select p.proname as name from pg_proc p
       where p.pronamespace = 'waybill'::regnamespace and p.prosrc ~ 'waybill\\.(${waybillTables.join('|')})\\M'
         and not 'row_security=off' = any(coalesce(p.proconfig, '{}')) order by 1`)
    // of publishing, an insert that is refused is an error; guard_sequence asks a view; inbox_enter and inbox_allows are called by inbox_claim
    expect(rows.map(({ name }) => name)).toEqual(
      [
        'check_message',
        'guard_sequence',
        'inbox_allows',
        'inbox_enter',
        'incarnation_drawn',
        'job_insert',
        'publish',
        'publish_many',
        'cancel',
      ].sort(),
    )
  })

  it('claim no message twice in an inbox whose claims are hidden from its owner', async () => {
    const database = await createTestDatabase()
    const { name } = await dispatcherRole(database)
    await withClient(database.url, async (client) => {
      for (const table of ['inbox', 'inbox_p1', 'inbox_p2', 'inbox_p3', 'inbox_generations'])
        await client.query(`alter table waybill.${table} owner to ${name}`)
      await client.query(`grant create on schema waybill to ${name}`)
      for (const each of ['inbox_claim', 'inbox_enter'])
        await client.query(`alter function waybill.${each} owner to ${name}`)
      const claim = `select waybill.inbox_claim('c', 'm') as first`
      expect((await client.query(claim)).rows).toEqual([{ first: true }])
      await client.query('alter table waybill.inbox enable row level security, force row level security')
      await client.query(`create policy writes on waybill.inbox for insert with check (true)`)
      await expect(client.query(claim)).rejects.toMatchObject({ code: '42501' })
      await client.query('alter table waybill.inbox disable row level security')
      expect((await client.query(claim)).rows).toEqual([{ first: false }])
    })
  })

  it('are known by name: every table of the schema is looked at', async () => {
    const { pool } = await createTestDatabase()
    const { rows } = await pool.query<{ name: string }>(
      `select c.relname::text as name from pg_class c
        where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1`,
    )
    expect(rows.map(({ name }) => name)).toEqual([...waybillTables].sort())
  })
})
