import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Finding } from '../../src/app/doctor/index.js'
import { assertSchema, migrate, pendingMigrations } from '../../src/db/migrate.js'
import { readMigrations } from '../../src/db/migrate-files.js'
import { applyRoles } from '../../src/db/roles.js'
import { onFileEnd } from '../support/cleanup.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { waitFor } from '../support/wait-for.js'
import { withClient } from '../support/with-client.js'
import { cli, errorOf } from './cli-fixture.js'
import { age, begun, claim, maintain, nextGeneration, openGeneration } from './inbox-fixture.js'

const inbox = '20261122000500_inbox'
const everything = readMigrations().map((file) => file.name)
const env = ({ url }: TestDatabase) => ({ env: { WAYBILL_DATABASE_URL: url } })
const tables = async ({ pool }: TestDatabase): Promise<string[]> => {
  const { rows } = await pool.query<{ name: string }>(
    `select relname as name from pg_class where relnamespace = 'waybill'::regnamespace and relkind in ('r', 'p') and not relispartition order by 1`,
  )
  return rows.map((row) => row.name)
}

describe.each(['pg18', 'pg15'] as const)('a database with the inbox alone, on %s', (server) => {
  it('is made by migrate --only inbox, checked, maintained, and gets the rest later', async () => {
    const db = await createTestDatabase({ server, empty: true })
    const pending = await cli(['migrate', '--only', 'inbox', '--check', '--json'], env(db))
    expect(pending).toMatchObject({ code: 1, stdout: expect.stringContaining(inbox) as string })
    const missing = await cli(['maintain', '--only', 'inbox', '--json'], env(db))
    expect(missing.code).toBe(1)
    expect(errorOf(missing)).toMatchObject({
      code: 'WAYBILL_SCHEMA_MISSING',
      message: expect.stringContaining('waybill migrate --only inbox') as string,
    })

    const applied = await cli(['migrate', '--only', 'inbox', '--json'], env(db))
    expect(JSON.parse(applied.stdout)).toEqual({ applied: [inbox], present: [] })
    expect(JSON.parse((await cli(['migrate', '--only', 'inbox', '--json'], env(db))).stdout)).toEqual({
      applied: [],
      present: [inbox],
    })
    expect((await cli(['migrate', '--only', 'inbox', '--check'], env(db))).code).toBe(0)
    expect(await tables(db)).toEqual([
      'inbox',
      'inbox_consumers',
      'inbox_generations',
      'inbox_settings',
      'locks',
      'migrations',
    ])
    // the rest is another question
    expect((await cli(['migrate', '--check'], env(db))).code).toBe(1)
    await withClient(db.url, async (client) => {
      await assertSchema(client, { only: 'inbox' })
      await expect(assertSchema(client)).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_MISSING' })
    })

    expect(await claim(db.pool, 'c', 'm1')).toBe(true)
    await nextGeneration(db)
    await age(db, 31)
    const busy = await begun(db)
    await claim(busy, 'c', 'm2')
    await busy.query('commit')
    const maintained = await cli(['maintain', '--only', 'inbox', '--json'], env(db))
    expect(maintained.code).toBe(0)
    expect(JSON.parse(maintained.stdout)).toMatchObject({ ran: true, dropped: ['inbox_p1'], kept: [] })
    expect((await cli(['maintain', '--only', 'inbox'], env(db))).stdout).toMatch(/^generation \d.*dropped nothing/)

    const all = await cli(['migrate', '--json'], env(db))
    expect(JSON.parse(all.stdout)).toEqual({ applied: everything.filter((name) => name !== inbox), present: [inbox] })
    expect((await cli(['migrate', '--check'], env(db))).code).toBe(0)
    expect(await claim(db.pool, 'c', 'm2')).toBe(false)
    await db.pool.query(`select waybill.publish('order.created', '{}')`)
    expect((await cli(['maintain'], env(db))).code).toBe(0)
    expect(await tables(db)).toEqual(await tables(await createTestDatabase({ server })))
    expect((await cli(['migrate', '--only', 'inbox', '--check'], env(db))).code).toBe(0)
  })

  it('is looked at by doctor --only inbox, which says when nobody does its upkeep', async () => {
    const db = await createTestDatabase({ server, empty: true })
    const doctor = async (...argv: string[]): Promise<{ code: number; said: string[]; checks: string[] }> => {
      const { code, stdout } = await cli(['doctor', '--json', ...argv], env(db))
      const findings = (JSON.parse(stdout) as Finding[]).filter(({ check }) => check !== 'transactions')
      const said = findings.filter(({ level }) => level !== 'ok').map((f) => `${f.check} ${f.level}: ${f.what}`)
      return { code, said, checks: findings.map(({ check }) => check) }
    }
    expect(await doctor('--only', 'inbox')).toMatchObject({ code: 1, said: ['schema error: the inbox is not there'] })
    await migrate(db.url, { only: 'inbox' })
    expect(await doctor('--only', 'inbox')).toEqual({
      code: 0,
      said: [],
      checks: ['schema', 'settings', 'inbox', 'clock'],
    })
    const whole = await doctor()
    expect(whole.code).toBe(1)
    expect(whole.said).toContain('schema error: this database has the inbox and nothing else of Waybill')

    await age(db, 11)
    expect((await doctor('--only', 'inbox')).said).toEqual([]) // nothing was claimed: none is due
    await claim(db.pool, 'c', 'm')
    expect((await doctor('--only', 'inbox')).said).toEqual([
      'inbox warn: no generation was opened for 11 d; a new one is due after 5 d',
    ])
    await openGeneration(db)
    await age(db, 2)
    expect((await doctor('--only', 'inbox')).said).toEqual([
      'inbox warn: generation 2 was opened 2 d ago, and claims are still written to the one before it too',
    ])
    await waitFor(async () => !(await maintain(db)).changing)
    await age(db, 32)
    expect((await doctor('--only', 'inbox')).said).toEqual([
      expect.stringMatching(/^inbox warn: 1 generations are past the retention, with \d/),
    ])
    await maintain(db)
    expect(await doctor('--only', 'inbox')).toMatchObject({ code: 0, said: [] })
  })

  it('takes the migrations of a later version, and is refused by an older one', async () => {
    const db = await createTestDatabase({ server, empty: true })
    await migrate(db.url, { only: 'inbox' })
    await withClient(db.url, async (client) => {
      expect(await pendingMigrations(client, undefined, 'inbox')).toEqual([])
      await client.query(`insert into waybill.migrations (name) values ('20990101000000_inbox_later')`)
      await expect(migrate(client, { only: 'inbox' })).rejects.toMatchObject({ code: 'WAYBILL_SCHEMA_NEWER' })
      await client.query(`update waybill.migrations set checksum = 'x' where name = $1`, [inbox])
      await client.query(`delete from waybill.migrations where name like '2099%'`)
      await expect(migrate(client, { only: 'inbox' })).rejects.toMatchObject({ code: 'WAYBILL_MIGRATION_CHANGED' })
    })
  })

  it('is made by psql from --sql, and has nothing left to do then', async () => {
    const db = await createTestDatabase({ server, empty: true })
    const { stdout, code } = await cli(['migrate', '--only', 'inbox', '--sql'], { cwd: '/' })
    expect(code).toBe(0)
    expect(stdout).not.toContain('create table waybill.messages')
    const psql = promisify(execFile)('psql', [db.url, '-X', '-q', '-f', '-'])
    psql.child.stdin?.end(stdout)
    await psql
    expect(await cli(['migrate', '--only', 'inbox', '--sql'], env(db))).toMatchObject({
      stdout: '-- nothing is pending\n',
    })
    expect(await claim(db.pool, 'c', 'm1')).toBe(true)
    expect(JSON.parse((await cli(['migrate', '--json'], env(db))).stdout)).toMatchObject({ present: [inbox] })
  })

  it('has its own roles: a consumer may claim and maintain, and nothing else', async () => {
    const db = await createTestDatabase({ server, empty: true })
    await migrate(db.url, { only: 'inbox' })
    const names = {
      observer: `wb_obs_${randomBytes(5).toString('hex')}`,
      consumer: `wb_con_${randomBytes(5).toString('hex')}`,
    }
    onFileEnd(() =>
      withClient(db.url, async (client) => {
        for (const role of Object.values(names)) await client.query(`drop owned by ${role} cascade; drop role ${role}`)
      }),
    )
    await withClient(db.url, async (client) => {
      const granted = [names.observer, names.consumer]
      expect(await applyRoles(client, { names, only: 'inbox' })).toEqual({ created: granted, granted, adminSql: null })
      expect(await applyRoles(client, { names, only: 'inbox' })).toEqual({ created: [], granted, adminSql: null })
      await client.query(`set role ${names.consumer}`)
      expect(await claim(client, 'c', 'm1')).toBe(true)
      await client.query('select waybill.inbox_maintain()')
      await client.query('select waybill.inbox_forget($1, $2)', ['c', 'm1'])
      for (const sql of [
        `delete from waybill.inbox`,
        `drop table waybill.inbox`,
        `select setval('waybill.inbox_step', 9)`,
      ])
        await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' })
      await client.query(`set role ${names.observer}`)
      await client.query('select from waybill.inbox')
      await expect(claim(client, 'c', 'm2')).rejects.toMatchObject({ code: '42501' })
    })
    // as a role of the cluster's, under its usual name
    const cliRoles = await cli(['migrate', '--only', 'inbox', '--roles', '--json'], env(db))
    expect(JSON.parse(cliRoles.stdout)).toMatchObject({
      roles: { granted: ['waybill_observer', 'waybill_consumer'], adminSql: null },
    })
  })
})
