import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { applyRoles } from '../../src/db/roles.js'
import { waybillTables } from '../../src/db/hidden-tables.js'
import { showMessage } from '../../src/app/inspect.js'
import { listLanes } from '../../src/outbox/inspect/lane-list.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { withClient } from './publish-fixture.js'

const kinds = ['publisher', 'dispatcher', 'observer', 'reader', 'consumer'] as const
type Kind = (typeof kinds)[number]
const denied = { code: '42501' }

describe.each(['pg18', 'pg15'] as const)('every role and every table and function, on %s', (server) => {
  let db: TestDatabase
  let names: Record<Kind, string>
  const clients = {} as Record<Kind, pg.Client>
  beforeAll(async () => {
    db = await createTestDatabase({ server })
    names = Object.fromEntries(kinds.map((kind) => [kind, uniqueName(kind)])) as Record<Kind, string>
    await withClient(db, (client) => applyRoles(client, { names }))
    for (const kind of kinds) {
      await db.pool.query(`alter role ${names[kind]} login`)
      const url = Object.assign(new URL(db.url), { username: names[kind] }).href
      clients[kind] = new pg.Client({ connectionString: url })
      await clients[kind].connect()
    }
    // partitions of later, by the owner
    await db.pool.query(`select waybill.publish('a', '{"secret":1}', headers => '{"h":"1"}');
      create table waybill.messages_extra (like waybill.messages); create table waybill.of_later (a int)`)
  })
  afterAll(async () => {
    for (const kind of kinds) await clients[kind].end()
    await db.pool.query(kinds.map((kind) => `drop owned by ${names[kind]} cascade; drop role ${names[kind]}`).join(';'))
    await db.drop()
  })

  const privileges = async (kind: Kind, table: string): Promise<string> =>
    (
      await db.pool.query<{ has: string }>(
        `select string_agg(left(p, 1), '' order by i) filter (where has_table_privilege($1::name, format('waybill.%I', $2::text), p)) as has
           from unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) with ordinality u(p, i)`,
        [names[kind], table],
      )
    ).rows[0]?.has ?? ''
  const columns = async (kind: Kind, privilege: string): Promise<Record<string, string[]>> => {
    const { rows } = await db.pool.query<{ name: string; columns: string[] }>(
      `select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
         from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p')
          and has_column_privilege($1::name, c.oid, a.attnum, $2) and not has_table_privilege($1::name, c.oid, $2)
        group by 1 order by 1`,
      [names[kind], privilege],
    )
    return Object.fromEntries(rows.map((row) => [row.name, row.columns]))
  }

  it('tables', async () => {
    for (const table of waybillTables) {
      const content = ['messages', 'scheduled', 'jobs'].includes(table)
      const expected: Record<Kind, string> = {
        publisher: table === 'migrations' ? 'S' : '',
        dispatcher: ['migrations', 'audit'].includes(table) ? 'S' : table === 'locks' ? 'SU' : 'SIUD',
        observer: content ? '' : 'S',
        reader: 'S',
        consumer: table === 'migrations' ? 'S' : '',
      }
      for (const kind of kinds) expect(await privileges(kind, table), `${kind} ${table}`).toBe(expected[kind])
    }
    const partitions = ['messages_p1', 'messages_tail', 'messages_extra', 'of_later']
    for (const table of partitions) {
      expect(await privileges('observer', table), table).toBe('')
      expect(await privileges('reader', table), table).toBe('S')
      expect(await privileges('dispatcher', table), table).toBe('SIUD')
    }
  })

  it('columns', async () => {
    expect(await columns('publisher', 'INSERT')).toEqual({ messages: ['id', 'topic', 'key', 'payload', 'headers'] })
    expect(await columns('dispatcher', 'INSERT')).toEqual({ audit: ['on_behalf_of', 'action', 'target', 'reason'] })
    for (const kind of ['observer', 'reader', 'consumer'] as const) expect(await columns(kind, 'INSERT')).toEqual({})
    for (const kind of kinds) expect(await columns(kind, 'UPDATE')).toEqual({})
    const seen = await columns('observer', 'SELECT')
    expect(Object.keys(seen)).toEqual(['jobs', 'messages', 'scheduled'])
    for (const name of Object.values(seen).flat()) expect(['payload', 'headers', 'args']).not.toContain(name)
    expect(seen['messages']).toEqual(['xid', 'seq', 'id', 'topic', 'key', 'destinations', 'created_at'])
    expect(seen['jobs']).toHaveLength(18)
    for (const kind of ['publisher', 'reader', 'consumer'] as const) expect(await columns(kind, 'SELECT')).toEqual({})
  })

  it('functions', async () => {
    const { rows } = await db.pool.query<{ name: string; kinds: Kind[] }>(
      `select p.proname as name, array(select k from unnest($1::text[], $2::name[]) u(k, r)
                where has_function_privilege(u.r, p.oid, 'execute')) as kinds
         from pg_proc p where p.pronamespace = 'waybill'::regnamespace`,
      [kinds, kinds.map((kind) => names[kind])],
    )
    const of = (kind: Kind): string[] => rows.filter((row) => row.kinds.includes(kind)).map(({ name }) => name)
    expect(of('publisher').sort()).toEqual(['cancel', 'publish', 'publish_many', 'wake_dispatchers'])
    expect(of('consumer').sort()).toEqual(['inbox_claim', 'inbox_forget', 'inbox_maintain'])
    // what the views over the log call
    for (const kind of ['observer', 'reader'] as const)
      expect(of(kind).sort()).toEqual(['first_pending', 'lane_figures'])
    expect(of('dispatcher')).toHaveLength(rows.length)
    await expect(clients.dispatcher.query('select waybill.set_limits(1)')).rejects.toMatchObject(denied)
  })

  it('sequences and the schema', async () => {
    const { rows } = await db.pool.query<{ kind: Kind; has: string[]; create: boolean }>(
      `select u.k as kind, has_schema_privilege(u.r, 'waybill', 'create') as create,
              array(select c.relname || ' ' || p from pg_class c, unnest('{USAGE,SELECT,UPDATE}'::text[]) p
                     where c.relnamespace = 'waybill'::regnamespace and c.relkind = 'S' and has_sequence_privilege(u.r, c.oid, p)
                     order by 1) as has
         from unnest($1::text[], $2::name[]) u(k, r)`,
      [kinds, kinds.map((kind) => names[kind])],
    )
    const has = Object.fromEntries(rows.map((row) => [row.kind, row.has]))
    expect(rows.every(({ create }) => !create)).toBe(true)
    expect(has['publisher']).toEqual(['asleep SELECT', 'awake SELECT', 'message_seq USAGE', 'server_start SELECT'])
    for (const kind of ['observer', 'reader', 'consumer']) expect(has[kind]).toEqual([])
  })

  it('a dispatcher acts under its own name, whatever it says, and can change nothing that was written down', async () => {
    const { dispatcher } = clients
    await dispatcher.query(
      `insert into waybill.jobs (id, message_id, queue, name, args) values (gen_random_uuid(), gen_random_uuid(), 'q', 'n', '1')`,
    )
    await dispatcher.query(`select waybill.job_cancel(p_queue => 'q', p_actor => 'boss')`)
    await dispatcher.query(`insert into waybill.audit (action) values ('mine')`)
    const { rows } = await dispatcher.query('select actor, on_behalf_of, action from waybill.audit order by id')
    const actor = names.dispatcher
    expect(rows).toEqual([
      { actor, on_behalf_of: 'boss', action: 'job_cancel' },
      { actor, on_behalf_of: null, action: 'mine' },
    ])
    for (const sql of [
      `insert into waybill.audit (actor, action) values ('boss', 'x')`,
      `insert into waybill.audit (at, action) values ('2000-01-01', 'x')`,
      `update waybill.audit set reason = 'x'`,
      'delete from waybill.audit',
      'truncate waybill.audit',
      'delete from waybill.migrations',
      `update waybill.migrations set checksum = 'x'`,
      `insert into waybill.migrations (name) values ('x')`,
    ])
      await expect(dispatcher.query(sql), sql).rejects.toMatchObject(denied)
  })

  it('an observer looks at lanes and at messages, and sees nothing of what they carry', async () => {
    const { observer, reader } = clients
    await observer.query('select * from waybill.undelivered; select * from waybill.lane_status')
    const pool = new pg.Pool({ connectionString: Object.assign(new URL(db.url), { username: names.observer }).href })
    const id = (await observer.query<{ id: string }>('select id from waybill.messages')).rows[0]?.id as string
    await listLanes(pool)
    expect(await showMessage(pool, id, { withPayload: false })).toMatchObject({ topic: 'a' })
    await expect(showMessage(pool, id, { withPayload: true })).rejects.toMatchObject(denied)
    await pool.end()
    for (const sql of [
      'select payload from waybill.messages',
      'select * from waybill.messages',
      'select m from waybill.messages m',
      'select headers from waybill.messages',
      'select payload from waybill.messages_p1',
      'select payload from waybill.scheduled',
      'select args from waybill.jobs',
      'copy waybill.messages to stdout',
    ])
      await expect(observer.query(sql), sql).rejects.toMatchObject(denied)
    expect((await reader.query('select payload, headers from waybill.messages')).rows).toEqual([
      { payload: { secret: 1 }, headers: { h: '1' } },
    ])
  })

  it('an observer of before, who saw all, does not any more', async () => {
    await db.pool.query(`grant select on all tables in schema waybill to ${names.observer};
      alter default privileges in schema waybill grant select on tables to ${names.observer}`)
    await withClient(db, (client) => applyRoles(client, { names }))
    await db.pool.query('create table if not exists waybill.of_still_later (a int)')
    for (const table of ['messages', 'messages_p1', 'of_still_later', 'jobs'])
      expect(await privileges('observer', table)).toBe('')
    expect(await privileges('observer', 'lanes')).toBe('S')
  })

  it('a consumer’s name that is bound to a role is that role’s; one that is not is everybody’s', async () => {
    const { consumer } = clients
    const owner = uniqueName('bound')
    await db.pool.query(
      `create role ${owner}; insert into waybill.inbox_consumers values ('billing', '${owner}'), ('gone', 'no_such_role')`,
    )
    const claim = (name: string): Promise<unknown> => consumer.query('select waybill.inbox_claim($1, $2)', [name, 'm'])
    await claim('mail')
    for (const name of ['billing', 'gone']) {
      await expect(claim(name)).rejects.toMatchObject({
        ...denied,
        message: expect.stringContaining(names.consumer) as string,
      })
      await expect(consumer.query('select waybill.inbox_forget($1, $2)', [name, 'm'])).rejects.toMatchObject(denied)
    }
    expect((await db.pool.query(`select from waybill.inbox where consumer <> 'mail'`)).rowCount).toBe(0)
    await db.pool.query(`grant ${owner} to ${names.consumer}`)
    await claim('billing')
    await consumer.query(`select waybill.inbox_forget('billing', 'm')`)
    for (const sql of [
      `insert into waybill.inbox_consumers values ('mail', '${names.consumer}')`,
      'delete from waybill.inbox_consumers',
    ])
      await expect(consumer.query(sql)).rejects.toMatchObject(denied)
    await db.pool.query(`truncate waybill.inbox_consumers; drop role ${owner}`)
  })
})
