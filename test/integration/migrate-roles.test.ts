import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { assertSchema } from '../../src/db/migrate.js'
import { applyRoles } from '../../src/db/roles.js'
import { Queue } from '../../src/index.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'

const cleanUp: (() => Promise<void>)[] = []
afterAll(async () => {
  for (const clean of cleanUp.reverse()) await clean()
})

/** Roles are the whole cluster's: names of the test's own, gone afterwards. */
function roleNames(db: TestDatabase) {
  const suffix = randomBytes(5).toString('hex')
  const names = {
    publisher: `wb_pub_${suffix}`,
    dispatcher: `wb_dis_${suffix}`,
    observer: `wb_obs_${suffix}`,
    reader: `wb_rea_${suffix}`,
    consumer: `wb_con_${suffix}`,
  }
  cleanUp.push(() => dropRoles(db, Object.values(names)))
  return names
}

async function dropRoles(db: TestDatabase, roles: readonly string[]): Promise<void> {
  const client = new pg.Client({ connectionString: db.url })
  await client.connect()
  const { rows } = await client.query<{ rolname: string }>('select rolname from pg_roles where rolname = any($1)', [
    roles,
  ])
  for (const { rolname } of rows) await client.query(`drop owned by ${rolname} cascade; drop role ${rolname}`)
  await client.end()
}

/** What a role may do, tried with its own rights and rolled back. */
async function as(db: TestDatabase, role: string, sql: string): Promise<string> {
  const client = await db.pool.connect()
  try {
    await client.query(`begin; set local role ${role}`)
    await client.query(sql)
    return 'ok'
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? 'error') : 'error'
  } finally {
    await client.query('rollback')
    client.release()
  }
}

const publish = `select waybill.publish('order.created', '{}')`
const publishMany = `select waybill.publish_many(array['a'], array['{}'::json], array[null], array[null::json], array[null::uuid],
  array[null::timestamptz], array[null], array[null::interval], array[null::json], array[false])`
const denied = '42501'

describe.each(['pg18', 'pg15'] as const)('roles on %s', (server) => {
  it('each may do what it needs and nothing else; to run it again changes nothing', async () => {
    const db = await createTestDatabase({ server })
    const names = roleNames(db)
    const client = await db.pool.connect()
    const all = Object.values(names)
    expect(await applyRoles(client, { names })).toEqual({ created: all, granted: all, adminSql: null })
    expect(await applyRoles(client, { names })).toEqual({ created: [], granted: all, adminSql: null })
    client.release()

    const { publisher, dispatcher, observer, reader, consumer } = names
    for (const sql of [`select waybill.inbox_claim('c', 'm')`, `select waybill.inbox_forget('c', 'm')`]) {
      expect(await as(db, consumer, sql)).toBe('ok')
      expect(await as(db, observer, sql)).toBe(denied)
    }
    expect(await as(db, consumer, 'select waybill.inbox_maintain()')).toBe('ok')
    for (const sql of ['select from waybill.inbox', 'update waybill.inbox_settings set retention = default', publish])
      expect(await as(db, consumer, sql)).toBe(denied)
    for (const sql of [publish, publishMany, `select waybill.cancel(gen_random_uuid())`]) {
      expect(await as(db, publisher, sql)).toBe('ok')
      expect(await as(db, observer, sql)).toBe(denied)
    }
    const insert = (columns = '', values = ''): string =>
      `insert into waybill.messages (id, topic, payload${columns}) values (gen_random_uuid(), 'a', '{}'${values})`
    expect(await as(db, publisher, insert())).toBe('ok')
    // of an awake that was never drawn from, and of somebody who sleeps
    await db.pool.query(`alter sequence waybill.awake restart`)
    expect(await as(db, publisher, insert())).toBe('ok')
    await db.pool.query(`select nextval('waybill.asleep'), nextval('waybill.asleep')`)
    expect(await as(db, publisher, insert())).toBe('ok')
    const denials = [
      ...[insert(', seq', ', 1'), insert(', xid', `, '5'`), insert(', destinations', `, '{crm}'`)],
      insert(', created_at', ', now()'),
      `select setval('waybill.message_seq', 1)`,
      `select nextval('waybill.asleep')`,
      `select setval('waybill.awake', 99)`,
      'select waybill.guard_sequence()',
      'select from waybill.messages',
      'delete from waybill.scheduled',
      'select waybill.retry()',
    ]
    for (const sql of denials) expect(await as(db, publisher, sql)).toBe(denied)

    const beat = `select waybill.dispatcher_beat(gen_random_uuid(), 'd', 'h', 1, '0.1.0', 1, 1000)`
    expect(await as(db, dispatcher, beat)).toBe('ok')
    expect(await as(db, dispatcher, `select waybill.stage_scheduled(10)`)).toBe('ok')
    expect(await as(db, dispatcher, `select setval('waybill.awake', 1)`)).toBe('ok')
    expect(await as(db, dispatcher, 'drop table waybill.audit')).toBe(denied)

    expect(
      await as(
        db,
        observer,
        'select from waybill.undelivered; select from waybill.lane_status; select from waybill.messages',
      ),
    ).toBe('ok')
    expect(await as(db, observer, 'delete from waybill.deliveries')).toBe(denied)
    expect(await as(db, observer, beat)).toBe(denied)

    for (const role of all) {
      const own = await db.pool.connect()
      await own.query(`begin; set local role ${role}`)
      await assertSchema(own)
      await own.query('rollback')
      own.release()
    }
    await db.pool.query('create table waybill.later (a int)')
    expect(await as(db, observer, 'select from waybill.later')).toBe(denied)
    expect(await as(db, reader, 'select from waybill.later')).toBe('ok')
    expect(await as(db, dispatcher, 'insert into waybill.later values (1)')).toBe('ok')
  })

  it('no function of the schema is for everybody', async () => {
    const db = await createTestDatabase({ server })
    const { rows } = await db.pool.query(
      `select p.proname from pg_proc p cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        where p.pronamespace = 'waybill'::regnamespace and a.grantee = 0 and a.privilege_type = 'EXECUTE'`,
    )
    expect(rows).toEqual([])
  })

  it('where dispatchers wait for a stand-by they may see how far it is; what takes an administrator is said', async () => {
    const db = await createTestDatabase({ server })
    const names = roleNames(db)
    const all = Object.values(names)
    const client = await db.pool.connect()
    const sees = async (): Promise<unknown> =>
      (await client.query(`select pg_has_role($1, 'pg_read_all_stats', 'usage') as sees`, [names.dispatcher])).rows[0]
    await applyRoles(client, { names })
    expect(await sees()).toEqual({ sees: false })
    // may grant everything on the schema, but no role of the server's
    await client.query(`create role ${names.observer}_2; grant usage on schema waybill to ${names.observer}_2`)
    cleanUp.push(() => dropRoles(db, [`${names.observer}_2`]))
    await client.query(`set role ${names.observer}_2`)
    const { granted, adminSql } = await applyRoles(client, { names, standby: true })
    await client.query('reset role')
    const grant = `grant pg_read_all_stats to "${names.dispatcher}"`
    expect(granted).not.toContain(names.dispatcher)
    expect(adminSql).toContain(grant)
    expect(await applyRoles(client, { names, standby: true })).toEqual({ created: [], granted: all, adminSql: null })
    expect(await sees()).toEqual({ sees: true })
    expect(await applyRoles(client, { names, standby: true })).toEqual({ created: [], granted: all, adminSql: null })
    client.release()
  })

  it('a publisher may publish whatever a Queue does', async () => {
    const db = await createTestDatabase({ server })
    const client = await db.pool.connect()
    const names = roleNames(db)
    await applyRoles(client, { names })
    await client.query(`insert into waybill.destinations (name, kind, generation) values ('crm', 'webhook', 1)`)
    const queue = new Queue()
    await client.query(`begin; set local role ${names.publisher}`)
    const tx = client
    await queue.publish('a', 1, { tx, key: 'k' })
    await queue.publish('a', 'x'.repeat(100_000), { tx, headers: { tenant: 'acme' } })
    await queue.publish('a', 1, { tx, dedupeKey: 'd', keyLock: true, key: 'k' })
    await queue.publish('a', 1, { tx, to: ['crm'], headers: { tenant: 'acme' } })
    await queue.publishMany([{ topic: 'a', payload: 1 }], { tx })
    const later = await queue.publish('a', 1, { tx, delay: '1h' })
    expect(await queue.cancel(later, { tx })).toBe(true)
    await client.query('commit')
    const { rows } = await client.query('select key, headers, destinations from waybill.messages order by seq')
    const headers = { tenant: 'acme' }
    expect(rows).toEqual([
      { key: 'k', headers: null, destinations: null },
      { key: null, headers, destinations: null },
      { key: 'k', headers: null, destinations: null },
      { key: null, headers, destinations: ['crm'] },
      { key: null, headers: null, destinations: null },
    ])
    client.release()
  })

  it('without the right to make roles: grants to those that exist, and says what an administrator must run', async () => {
    const db = await createTestDatabase({ server })
    const names = roleNames(db)
    const owner = `wb_own_${randomBytes(5).toString('hex')}`
    cleanUp.push(() => dropRoles(db, [owner]))
    await db.pool.query(`create role ${owner}; create role ${names.publisher}`)
    await db.pool.query(`do $$ declare r record; begin
      execute 'alter schema waybill owner to ${owner}';
      for r in select c.oid::regclass as name from pg_class c where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p', 'v')
        loop execute format('alter table %s owner to ${owner}', r.name); end loop;
      for r in select p.oid::regprocedure as name from pg_proc p where p.pronamespace = 'waybill'::regnamespace
        loop execute format('alter function %s owner to ${owner}', r.name); end loop;
      for r in select c.oid::regclass as name from pg_class c where c.relnamespace = 'waybill'::regnamespace and c.relkind = 'S'
         and not exists (select from pg_depend d where d.objid = c.oid and d.deptype in ('a', 'i'))
        loop execute format('alter sequence %s owner to ${owner}', r.name); end loop;
    end $$`)
    const client = await db.pool.connect()
    await client.query(`set role ${owner}`)
    const report = await applyRoles(client, { names })
    expect(report).toMatchObject({ created: [], granted: [names.publisher] })
    expect(report.adminSql).toContain(`create role "${names.dispatcher}"`)
    expect(report.adminSql).not.toContain(names.publisher)
    await client.query('reset role')
    expect(await as(db, names.publisher, publish)).toBe('ok')
    await client.query(report.adminSql ?? '')
    expect(await as(db, names.observer, 'select from waybill.undelivered')).toBe('ok')
    client.release()
  })

  it('one who owns nothing is told, rather than believing a grant that did nothing', async () => {
    const db = await createTestDatabase({ server })
    const names = roleNames(db)
    const stranger = `wb_str_${randomBytes(5).toString('hex')}`
    cleanUp.push(() => dropRoles(db, [stranger]))
    await db.pool.query(
      `create role ${stranger}; grant usage on schema waybill to ${stranger}; create role ${names.publisher}`,
    )
    const client = await db.pool.connect()
    await client.query(`set role ${stranger}`)
    const report = await applyRoles(client, { names })
    expect(report.granted).toEqual([])
    expect(report.adminSql).toContain(`to "${names.publisher}"`)
    await client.query('reset role')
    client.release()
  })
})
