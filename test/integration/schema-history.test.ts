import { describe, expect, it } from 'vitest'
import { createTestDatabase } from '../support/database.js'
import { cli } from './cli-fixture.js'

/** Empties every table, as tools that clean a database of tests do; functions, views and sequences stay. */
const truncateAll = `do $$ declare r record; begin
  for r in select c.relname from pg_class c where c.relnamespace = 'waybill'::regnamespace and c.relkind in ('r', 'p')
            and not c.relispartition loop
    execute format('truncate waybill.%I restart identity cascade', r.relname);
  end loop; end $$`

describe.each(['pg18', 'pg15'] as const)('tables without the history of their migrations, on %s', (server) => {
  it('are known for what they are, and can be adopted', async () => {
    const { url, pool } = await createTestDatabase({ server })
    const run = (...argv: string[]) => cli(argv, { env: { WAYBILL_DATABASE_URL: url } })
    await pool.query(truncateAll)
    for (const argv of [['status'], ['migrate'], ['maintain']]) {
      const refused = await run(...argv)
      expect(refused.code).toBe(1)
      expect(refused.stderr).toContain('waybill migrate --adopt')
      expect(refused.stderr).toContain('drop schema waybill cascade')
    }
    expect((await run('migrate', '--check')).stdout).toContain('waybill migrate --adopt')
    expect((await run('doctor')).stdout).toContain('the history of migrations is not there')
    expect(await run('migrate', '--adopt')).toMatchObject({ code: 0 })
    expect(await run('migrate', '--check')).toMatchObject({ code: 0, stdout: 'nothing is pending\n' })
    expect(await run('maintain')).toMatchObject({ code: 0 })
    expect(await run('doctor', '--json')).not.toMatchObject({
      stdout: expect.stringContaining('"level": "error"') as string,
    })
    const { rows } = await pool.query(
      `select waybill.publish('a.b', '1') is not null as published, waybill.inbox_claim('c', 'i') as claimed`,
    )
    expect(rows).toEqual([{ published: true, claimed: true }])
    expect((await run('migrate', '--adopt')).stdout).toBe('nothing was lacking\n')
  })

  it('are not adopted where something is missing', async () => {
    const { url, pool } = await createTestDatabase({ server })
    await pool.query('truncate waybill.migrations; drop view waybill.jobs_unhandled')
    const refused = await cli(['migrate', '--adopt'], { env: { WAYBILL_DATABASE_URL: url } })
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('view waybill.jobs_unhandled is missing') as string,
    })
    const { rows } = await pool.query('select from waybill.migrations')
    expect(rows).toEqual([])
  })

  it('a publication that keeps rows from being deleted is told by doctor', async () => {
    const { url, pool } = await createTestDatabase({ server })
    const doctor = () => cli(['doctor'], { env: { WAYBILL_DATABASE_URL: url } })
    expect((await doctor()).stdout).toContain('no publication keeps rows from being deleted')
    await pool.query('create publication cdc for all tables')
    const told = await doctor()
    expect(told.stdout).toMatch(/publications: publication "cdc" \(for all tables\) holds .*messages.*unrouted/)
    await pool.query(`alter publication cdc set (publish = 'insert, truncate')`)
    expect((await doctor()).stdout).toContain('no publication keeps rows from being deleted')
  })
})
