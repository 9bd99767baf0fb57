import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { migrate, type MigrateResult } from '../../src/db/migrate.js'
import { migrationSql } from '../../src/db/migrate-sql.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { withClient } from './publish-fixture.js'

describe.each(['pg18', 'pg15'] as const)('what another role made before the migration, on %s', (server) => {
  let db: TestDatabase
  let squatter: string
  beforeEach(async () => {
    db = await createTestDatabase({ server, empty: true })
    squatter = uniqueName('squatter')
    await db.pool.query(`create role ${squatter} login; grant create on database ${db.name} to ${squatter}`)
  })
  afterEach(async () => {
    await db.pool.query(`drop owned by ${squatter} cascade; drop role ${squatter}`)
    await db.drop()
  })

  const asSquatter = async (sql: string): Promise<void> => {
    const client = new pg.Client({ connectionString: Object.assign(new URL(db.url), { username: squatter }).href })
    await client.connect()
    await client.query(sql).finally(() => client.end())
  }
  const refusal = (...what: string[]): object => ({
    code: 'WAYBILL_SCHEMA_FOREIGN',
    message: expect.stringContaining(what.map((each) => `${each} (${squatter})`).join(', ')) as string,
  })
  const done = (): Promise<MigrateResult> => migrate(db.url)
  const table = `create table waybill.migrations (name text primary key, checksum text,
    applied_at timestamptz not null default clock_timestamp())`
  const trick = `create function waybill.t() returns trigger language plpgsql as
    $$ begin execute 'alter role ${'SQUATTER'} superuser'; return new; end $$`

  it('its schema, table, function and trigger are refused before the first statement, and named', async () => {
    await asSquatter(`create schema waybill; ${table}; ${trick.replace('SQUATTER', squatter)};
      create trigger t before insert on waybill.migrations for each row execute function waybill.t();
      grant usage, create on schema waybill to public; grant all on waybill.migrations to public`)
    await expect(done()).rejects.toMatchObject(
      refusal(
        'schema waybill',
        'function waybill.t',
        'table waybill.migrations',
        'the function of trigger t on waybill.migrations',
      ),
    )
    await expect(migrate(db.url, { only: 'inbox' })).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_FOREIGN' })
    await expect(db.pool.query((await migrationSql()).replace(/^\\set.*$/gm, ''))).rejects.toMatchObject({
      code: '42501',
      message: expect.stringContaining(`schema waybill (${squatter})`) as string,
    })
    expect((await db.pool.query('select rolsuper from pg_roles where rolname = $1', [squatter])).rows).toEqual([
      { rolsuper: false },
    ])
  })

  it.each([
    ['a table', table, 'table waybill.migrations'],
    [
      'a function',
      'create function waybill.publish() returns int language sql as $$ select 1 $$',
      'function waybill.publish',
    ],
    ['a sequence', 'create sequence waybill.message_seq', 'sequence waybill.message_seq'],
    ['a view', 'create view waybill.messages as select 1', 'view waybill.messages'],
    ['a type', 'create type waybill.mood as enum ($$x$$)', 'type waybill.mood'],
    [
      'an operator',
      'create operator waybill.=== (function = pg_catalog.int4eq, leftarg = int, rightarg = int)',
      'operator waybill.===',
    ],
  ])('%s in a schema of the right owner is refused', async (_, sql, what) => {
    await db.pool.query(`create schema waybill; grant usage, create on schema waybill to ${squatter}`)
    await asSquatter(sql)
    await expect(done()).rejects.toMatchObject(refusal(what))
  })

  it('a trigger with its function elsewhere is refused, on a table that is migrated already', async () => {
    await done()
    await db.pool.query(`delete from waybill.migrations where name = '20261122000500_inbox'`)
    await db.pool
      .query(`grant usage on schema waybill to ${squatter}; grant trigger on waybill.migrations to ${squatter};
      create schema theirs authorization ${squatter}`)
    await asSquatter(`create function theirs.t() returns trigger language plpgsql as $$ begin return new; end $$;
      create trigger t before insert on waybill.migrations for each row execute function theirs.t()`)
    await expect(done()).rejects.toMatchObject(refusal('the function of trigger t on waybill.migrations'))
  })

  it('made between the look and the first statement, it is refused too, and nothing of it is run', async () => {
    await withClient(db, async (client) => {
      const query = client.query.bind(client)
      let made = false
      // the schema comes to be just before it is asked for
      Object.assign(client, {
        query: async (text: string, values?: unknown[]) => {
          if (!made && text.includes('create schema')) {
            made = true
            await asSquatter('create schema waybill')
          }
          return query(text, values)
        },
      })
      await expect(migrate(client)).rejects.toMatchObject(refusal('schema waybill'))
    })
    expect((await db.pool.query(`select to_regclass('waybill.migrations') as found`)).rows).toEqual([{ found: null }])
  })

  it('what a role owns that this user is a member of is migrated', async () => {
    const app = uniqueName('app')
    await db.pool.query(
      `create role ${app} login; grant ${squatter} to ${app}; grant create on database ${db.name} to ${app}`,
    )
    await asSquatter('create schema waybill')
    const url = Object.assign(new URL(db.url), { username: app }).href
    // a superuser is no member of anything by being one
    await expect(done()).rejects.toMatchObject(refusal('schema waybill'))
    expect((await migrate(url)).applied.length).toBeGreaterThan(3)
    await db.pool.query(`drop owned by ${app} cascade; drop role ${app}`)
  })
})
