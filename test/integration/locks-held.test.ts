import pg from 'pg'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { takeLock } from '../../src/db/lock.js'
import { migrate } from '../../src/db/migrate.js'
import { applyRoles } from '../../src/db/roles.js'
import { attemptUnderLock } from '../../src/outbox/partitions/lock-attempts.js'
import { messagesTable } from '../../src/outbox/partitions/range-table.js'
import { stageScheduled } from '../../src/outbox/scheduled-store.js'
import { mendSequence } from '../../src/outbox/sequence-guard.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { uniqueName } from '../support/services.js'
import { withClient } from './publish-fixture.js'

describe.each(['pg18', 'pg15'] as const)('a login without any privilege, on %s', (server) => {
  let db: TestDatabase
  let role: string
  let login: pg.Client
  beforeEach(async () => {
    db = await createTestDatabase({ server })
    role = uniqueName('nobody')
    await db.pool.query(`create role ${role} login`)
    login = new pg.Client({ connectionString: Object.assign(new URL(db.url), { username: role }).href })
    await login.connect()
  })
  afterEach(async () => {
    await login.end()
    await db.pool.query(`drop owned by ${role}; drop role ${role}`)
    await db.drop()
  })

  const due = `select waybill.publish('a', '1', run_at => clock_timestamp() + interval '100 ms')`

  it('that holds every advisory lock of Waybill’s numbers keeps nobody from anything', async () => {
    for (let n = 0; n <= 100; n++) await login.query('select pg_advisory_lock(7718266, $1)', [n])
    await db.pool.query(`alter sequence waybill.message_seq restart; alter sequence waybill.server_start restart`)
    await withClient(db, async (client) => {
      await client.query(`set statement_timeout = '3s'`)
      await client.query(due)
      await client.query('select pg_sleep(0.15)')
      expect(await stageScheduled(client, 10, null)).toMatchObject({ staged: 1 })
      const ran = async (sql: string): Promise<unknown> => (await client.query<{ ran: unknown }>(sql)).rows[0]?.ran
      expect(await ran('select waybill.job_maintain(1000, 10) is not null as ran')).toBe(true)
      expect(await ran(`select waybill.inbox_maintain()->>'ran' as ran`)).toBe('true')
      await client.query(`alter sequence waybill.message_seq restart`)
      expect((await mendSequence(client)).after.ok).toBe(true)
      expect(await attemptUnderLock(client, messagesTable, {}, async () => 7)).toEqual({ done: 7 })
      await applyRoles(client, {
        names: { publisher: role, dispatcher: role, observer: role, reader: role, consumer: role },
      })
      await db.pool.query(`delete from waybill.migrations where name = '20261122000500_inbox'`)
      // it gets as far as a table that is there: not one lock was waited for
      await expect(migrate(client, { waitMs: 0 })).rejects.toMatchObject({
        code: 'WAYBILL_MIGRATION_FAILED',
        message: expect.stringContaining('already exists') as string,
      })
    })
  })

  it('can lock none of the rows that take their place, nor the tables', async () => {
    const { rows } = await db.pool.query<{ name: string }>('select name from waybill.locks order by name')
    expect(rows.map(({ name }) => name)).toEqual([
      'inbox',
      'jobs',
      'partitions',
      'rebase',
      'roles',
      'sequence',
      'stage',
    ])
    await db.pool.query(`grant usage on schema waybill to ${role}; grant select on waybill.migrations to ${role}`)
    for (const sql of [
      'select from waybill.locks for update',
      'select from waybill.locks for key share',
      'lock table waybill.locks in access share mode',
      'lock table waybill.migrations in row exclusive mode',
    ])
      await expect(login.query(`begin; ${sql}`), sql)
        .rejects.toMatchObject({ code: '42501' })
        .finally(() => login.query('rollback'))
  })

  it('a stager that finds another at work leaves its mark where it is, and says how long to the next', async () => {
    await db.pool.query(due)
    await db.pool.query('select pg_sleep(0.15)')
    await withClient(db, async (client) => {
      await client.query('begin')
      await client.query(`select from waybill.locks where name = 'stage' for update`)
      expect(await stageScheduled(db.pool, 10, null)).toMatchObject({ staged: 0, stagedTo: null })
      await client.query('rollback')
    })
    expect(await stageScheduled(db.pool, 10, null)).toMatchObject({ staged: 1, stagedTo: expect.any(Date) as Date })
  })

  it('an idle look for what is due writes nothing', async () => {
    await withClient(db, async (client) => {
      await client.query('begin')
      await stageScheduled(client, 10, null)
      const { rows } = await client.query('select pg_current_xact_id_if_assigned() as xid')
      expect(rows).toEqual([{ xid: null }])
      await client.query('rollback')
    })
  })

  it('a row that is missing is said, and not taken for a lock that was had', async () => {
    await db.pool.query(`delete from waybill.locks where name = 'rebase'`)
    await withClient(db, async (client) => {
      await client.query(
        `delete from waybill.locks where name = 'sequence'; alter sequence waybill.server_start restart`,
      )
      await expect(client.query(`select waybill.publish('a', '1')`)).rejects.toMatchObject({ code: '55000' })
      await expect(takeLock(client, 'rebase')).rejects.toThrow(/no row "rebase"/)
    })
  })
})
