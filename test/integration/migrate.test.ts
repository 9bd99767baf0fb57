import { randomBytes } from 'node:crypto'
import { execFile } from 'node:child_process'
import { cp, mkdtemp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, describe, expect, it } from 'vitest'
import { assertSchema, migrate, pendingMigrations, type MigrateProgress } from '../../src/db/migrate.js'
import { migrationsDirectory, readMigrations } from '../../src/db/migrate-files.js'
import { migrationSql } from '../../src/db/migrate-sql.js'
import { createTestDatabase } from '../support/database.js'

const known = readMigrations().map((file) => file.name)
const folders: string[] = []
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true })
})

/** The package's migrations and further ones, in a folder of the test's own. */
async function withMigrations(extra: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'waybill-migrations-'))
  folders.push(folder)
  await cp(migrationsDirectory, folder, { recursive: true })
  for (const [name, sql] of Object.entries(extra)) {
    await mkdir(join(folder, name), { recursive: true })
    await writeFile(join(folder, name, 'migration.sql'), sql)
  }
  return folder
}

async function connect(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({ connectionString: url, application_name: 'migrate-test' })
  await client.connect()
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() })
}

describe.each(['pg18', 'pg15'] as const)('migrate on %s', (server) => {
  it('applies everything once, with checksums, and then nothing', async () => {
    const db = await createTestDatabase({ server, empty: true })
    expect(await migrate(db.url)).toEqual({ applied: known, present: [] })
    expect(await migrate(db.url)).toEqual({ applied: [], present: known })
    const { rows } = await db.pool.query('select name, checksum from waybill.migrations order by name')
    expect(rows).toEqual(readMigrations().map(({ name, checksum }) => ({ name, checksum })))
    await db.pool.query(`select waybill.publish('order.created', '{}')`)
  })

  it('is safe when several run at once, through PgBouncer too', async () => {
    const db = await createTestDatabase({ server, empty: true })
    const results = await Promise.all([db.url, db.pgbouncerUrl, db.url, db.pgbouncerUrl].map((url) => migrate(url)))
    expect(results.flatMap((result) => result.applied).sort()).toEqual(known)
    expect((await migrate(db.url)).applied).toEqual([])
  })

  it('rolls a failing migration back, names file, line and SQLSTATE, and keeps the earlier ones', async () => {
    const db = await createTestDatabase({ server, empty: true })
    const bad = 'create table waybill.half_done (a int);\n-- why not\n\nselect 1,\n  1 / 0;\n'
    const directory = await withMigrations({ '20990101000000_bad': bad })
    await expect(migrate(db.url, { directory })).rejects.toMatchObject({
      code: 'WAYBILL_MIGRATION_FAILED',
      message: expect.stringMatching(/20990101000000_bad failed at line 4 .*SQLSTATE 22012/) as string,
    })
    const { rows } = await db.pool.query(
      `select to_regclass('waybill.half_done') as half, to_regclass('waybill.messages') as log`,
    )
    expect(rows).toEqual([{ half: null, log: 'waybill.messages' }])
    const typo = 'select 1;\nselect\n  nope\n  from waybill.messages;\n'
    const second = await withMigrations({ '20990101000000_bad': typo })
    await expect(migrate(db.url, { directory: second })).rejects.toThrow(/line 3 .*SQLSTATE 42703/)
    const repaired = await withMigrations({ '20990101000000_bad': 'create table waybill.half_done (a int);' })
    expect((await migrate(db.url, { directory: repaired })).applied).toEqual(['20990101000000_bad'])
  })

  it('refuses an edited migration and names it', async () => {
    const db = await createTestDatabase({ server, empty: true })
    await migrate(db.url)
    const name = known[0] ?? ''
    const text = await readFile(join(migrationsDirectory, name, 'migration.sql'), 'utf8')
    const edited = await withMigrations({ [name]: `${text}\n-- edited` })
    await expect(migrate(db.url, { directory: edited })).rejects.toMatchObject({
      code: 'WAYBILL_MIGRATION_CHANGED',
      message: expect.stringContaining(name) as string,
    })
    const crlf = await withMigrations({ [name]: text.replaceAll('\n', '\r\n') })
    expect((await migrate(db.url, { directory: crlf })).applied).toEqual([])
  })

  it('refuses a newer schema; programs go on with it until a migration says that they are too old', async () => {
    const db = await createTestDatabase({ server, empty: true })
    await using client = await connect(db.url)
    await expect(assertSchema(client)).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_MISSING' })
    expect(await pendingMigrations(client)).toEqual(known)
    await migrate(client)
    await assertSchema(client)
    expect(await pendingMigrations(client)).toEqual([])
    await client.query(`insert into waybill.migrations (name) values ('20990101000000_later')`)
    await expect(migrate(client)).rejects.toMatchObject({
      code: 'WAYBILL_SCHEMA_NEWER',
      message: expect.stringContaining('20990101000000_later') as string,
    })
    await expect(pendingMigrations(client)).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_NEWER' })
    await assertSchema(client)
    await client.query(`insert into waybill.migrations (name) values ('20990201000000_drop_old_min_3_2')`)
    await expect(assertSchema(client, { version: '3.1.9' })).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_NEWER' })
    await expect(assertSchema(client, { version: '2.7.0' })).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_NEWER' })
    await assertSchema(client, { version: '3.2.0' })
    await client.query('delete from waybill.migrations where name = $1', [known[0]])
    await expect(assertSchema(client, { version: '3.2.0' })).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_MISSING' })
  })

  it('fills in checksums after the files were run by another tool', async () => {
    const db = await createTestDatabase({ server, empty: true })
    for (const file of readMigrations()) await db.pool.query(file.sql)
    const before = await db.pool.query('select count(*)::int as n from waybill.migrations where checksum is null')
    expect(before.rows).toEqual([{ n: known.length }])
    expect((await migrate(db.url)).applied).toEqual([])
    const after = await db.pool.query('select count(*)::int as n from waybill.migrations where checksum is null')
    expect(after.rows).toEqual([{ n: 0 }])
  })

  it('waits for a lock no longer than lockTimeoutMs at a time, so that publishers go on, and gets through in the end', async () => {
    const db = await createTestDatabase({ server })
    const directory = await withMigrations({
      '20990101000000_column': 'alter table waybill.messages add column extra int;',
    })
    await using reader = await connect(db.url)
    await reader.query('begin')
    await reader.query('lock table waybill.messages in access share mode')
    const waiting: MigrateProgress[] = []
    const done = migrate(db.url, { directory, lockTimeoutMs: 100, onProgress: (event) => waiting.push(event) })
    // the server's own measure: a publisher that queued for longer than this would fail
    await using publisher = await connect(db.url)
    await publisher.query(`set lock_timeout = '1s'`)
    let published = 0
    let ended = false
    const result = done.finally(() => (ended = true))
    result.catch(() => undefined)
    while (!ended && waiting.filter((event) => event.state === 'waiting').length < 3) {
      await publisher.query(`select waybill.publish('order.created', '{}')`)
      published += 1
    }
    await reader.query('commit')
    expect((await result).applied).toEqual(['20990101000000_column'])
    expect(waiting.find((event) => event.state === 'waiting')?.detail).toContain('migrate-test')
    expect(published).toBeGreaterThan(3)
  })

  it('says who holds the migration lock, and who holds the tables, when it gives up', async () => {
    const db = await createTestDatabase({ server })
    await db.pool.query(`delete from waybill.migrations where name = '${known.at(-1)}'`)
    await using other = await connect(db.url)
    await other.query('begin; lock table waybill.migrations in share row exclusive mode')
    await expect(migrate(db.url, { waitMs: 300 })).rejects.toMatchObject({
      code: 'WAYBILL_MIGRATION_LOCKED',
      message: expect.stringMatching(/pid \d+ .*migrate-test/) as string,
    })
    await other.query('rollback')
    await db.pool.query(`insert into waybill.migrations (name) values ('${known.at(-1)}')`)
    await other.query('begin; lock table waybill.messages in access share mode')
    const directory = await withMigrations({
      '20990101000000_column': 'alter table waybill.messages add column extra int;',
    })
    await expect(migrate(db.url, { directory, waitMs: 300, lockTimeoutMs: 50 })).rejects.toMatchObject({
      code: 'WAYBILL_MIGRATION_FAILED',
      message: expect.stringMatching(/SQLSTATE 55P03.*migrate-test/) as string,
    })
  })

  it('runs a file without a transaction when it asks for that', async () => {
    const db = await createTestDatabase({ server })
    const sql = `-- waybill:no-transaction
create index concurrently if not exists audit_at on waybill.audit (at);
create index concurrently if not exists audit_action on waybill.audit (action);`
    const directory = await withMigrations({ '20990101000000_index': sql })
    expect((await migrate(db.url, { directory })).applied).toEqual(['20990101000000_index'])
    const { rows } = await db.pool.query(
      `select to_regclass('waybill.audit_at') as a, to_regclass('waybill.audit_action') as b`,
    )
    expect(rows).toEqual([{ a: 'waybill.audit_at', b: 'waybill.audit_action' }])
  })

  it('prints SQL that psql can run, all of it or what a database lacks', async () => {
    const db = await createTestDatabase({ server, empty: true })
    await psql(db.url, await migrationSql())
    await using client = await connect(db.url)
    expect(await migrationSql({ pendingFor: client })).toBe('')
    expect(await migrate(client)).toEqual({ applied: [], present: known })
    const directory = await withMigrations({ '20990101000000_more': 'create table waybill.more (a int);' })
    await psql(db.url, await migrationSql({ pendingFor: client, directory }))
    expect(await pendingMigrations(client, directory)).toEqual([])
    expect((await client.query(`select to_regclass('waybill.more') as more`)).rows).toEqual([{ more: 'waybill.more' }])
  })

  it('works for a user who owns no more than the schema', async () => {
    const db = await createTestDatabase({ server, empty: true })
    const user = `waybill_test_${randomBytes(6).toString('hex')}`
    await db.pool.query(`create role ${user} login`)
    try {
      const url = new URL(db.url)
      url.username = user
      await expect(migrate(url.href)).rejects.toThrow(/SQLSTATE 42501.*grant create on database/s)
      await db.pool.query(`create schema waybill authorization ${user}`)
      expect((await migrate(url.href)).applied).toEqual(known)
      await using client = await connect(url.href)
      await client.query(`select waybill.publish('order.created', '{}')`)
    } finally {
      await db.pool.query(`drop owned by ${user}; drop role ${user}`)
    }
  })
})

it('says where it could not connect, without the password', async () => {
  await expect(migrate('postgres://app:hunter2@127.0.0.1:1/shop')).rejects.toMatchObject({
    code: 'WAYBILL_DATABASE_UNREACHABLE',
    message: expect.not.stringContaining('hunter2') as string,
  })
})

async function psql(url: string, script: string): Promise<void> {
  const child = promisify(execFile)('psql', [url, '-X', '-q', '-f', '-'])
  child.child.stdin?.end(script)
  await child
}
