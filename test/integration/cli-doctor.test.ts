import { describe, expect, it } from 'vitest'
import type { Finding } from '../../src/app/doctor/index.js'
import { judge } from '../../src/app/doctor/server.js'
import { createTestDatabase, type TestDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'
import { cli, configDirectory } from './cli-fixture.js'

async function doctor(database: TestDatabase, options: { url?: string; direct?: string; argv?: string[] } = {}) {
  const env = { WAYBILL_DATABASE_URL: options.url ?? database.url, WAYBILL_DIRECT_URL: options.direct ?? '' }
  const { code, stdout, stderr } = await cli(['doctor', '--json', ...(options.argv ?? [])], { env })
  expect(stderr).toBe('')
  return { code, findings: JSON.parse(stdout) as Finding[] }
}

/** What is amiss: `partitions warn: the tail …`. */
function amiss(findings: readonly Finding[], check?: string): string[] {
  return findings
    .filter((finding) => finding.level !== 'ok' && (check === undefined || finding.check === check))
    .map(({ check: name, level, what }) => `${name} ${level}: ${what}`)
}

describe('waybill doctor', () => {
  it.each(['pg18', 'pg15'] as const)('finds nothing amiss where somebody dispatches, on %s', async (server) => {
    const database = await createTestDatabase({ server })
    const dispatcher = await startDispatcher({
      pool: database.pool,
      destinations: { crm: { adapter: new ScriptedAdapter() } },
    })
    const { code, findings } = await doctor(database)
    await dispatcher.stop()
    // other tests of this server may have had transactions open for long
    expect(amiss(findings).filter((line) => !line.startsWith('transactions'))).toEqual([])
    expect(code).toBe(0)
    expect([...new Set(findings.map((finding) => finding.check))]).toEqual([
      ...[
        'schema',
        'settings',
        'configuration',
        'durability',
        'drift',
        'sequence',
        'dispatchers',
        'lanes',
        'partitions',
        'maintenance',
        'publications',
        'inbox',
        'jobs',
        'scheduled',
      ],
      ...['disk', 'transactions', 'clock', 'notifications'],
    ])
    for (const finding of findings.filter(({ level }) => level === 'ok')) expect(finding.remedy).toBeNull()
  })

  it('looks at the server alone while there is no schema, and calls that an error', async () => {
    const database = await createTestDatabase({ empty: true })
    const { code, findings } = await doctor(database)
    expect(code).toBe(1)
    expect(amiss(findings, 'schema')).toEqual([
      expect.stringMatching(/^schema error: \d+ migrations are pending: 2026/),
    ])
    expect(findings.map((finding) => finding.check)).not.toContain('lanes')
    const { stdout } = await cli(['doctor'], { env: { WAYBILL_DATABASE_URL: database.url } })
    expect(stdout).toMatch(/^ERROR schema: .*\n +why: .*\n +do: run: waybill migrate\nok +settings: /)
  })

  it('finds a broken sequence, drift, lanes that nobody holds, dead deliveries and rows in the tail', async () => {
    const database = await createTestDatabase()
    const { pool } = database
    const adapter = new ScriptedAdapter()
    adapter.answer = () => ({ kind: 'dead', failure: { code: 'NO', message: 'no' } })
    const dispatcher = await startDispatcher({ pool, destinations: { crm: { adapter } } })
    await publish(pool, 'order.created', {})
    await waitFor(() => adapter.attempts.length === 1, { what: 'the attempt' })
    await dispatcher.stop()
    await publish(pool, 'order.created', {})
    await pool.query(`select setval('waybill.message_seq', 3500000)`)
    await publish(pool, 'order.created', {})
    await pool.query('alter sequence waybill.message_seq cache 20')
    await pool.query('alter table waybill.messages alter column xid drop default')
    await pool.query('grant update on sequence waybill.message_seq to public')
    await pool.query('grant insert (seq, id) on waybill.messages to public')
    await pool.query(`create function waybill.t() returns trigger language plpgsql as 'begin return new; end'`)
    await pool.query('create trigger t before insert on waybill.lanes for each row execute function waybill.t()')
    await pool.query('alter sequence waybill.awake set unlogged')
    const { code, findings } = await doctor(database)
    expect(code).toBe(1)
    const found = amiss(findings).join('\n')
    for (const line of [
      /^sequence error: .*cache 20/m,
      /^drift error: sequence waybill\.awake is unlogged/m,
      /^drift error: waybill\.messages\.xid defaults to nothing/m,
      /^drift warn: trigger t on waybill\.lanes/m,
      /^drift warn: .* may UPDATE waybill\.message_seq/m,
      /^drift warn: .* may INSERT waybill\.messages\.seq/m,
      /^dispatchers warn: no dispatcher is alive/m,
      /^lanes error: crm\/0: no dispatcher holds it; .* messages and \d+ s behind/m,
      /^lanes warn: crm\/0 has 1 dead deliveries/m,
      /^partitions warn: the tail messages_tail has rows/m,
    ])
      expect(found).toMatch(line)
    for (const finding of findings.filter(({ level }) => level !== 'ok')) {
      expect(finding.why).not.toBeNull()
      expect(finding.remedy).not.toBeNull()
    }
  })

  it('says when no dispatcher of the deployed configuration is alive', async () => {
    const database = await createTestDatabase()
    await database.pool.query(
      `with newest as (insert into waybill.configurations (fingerprint, generation) values ('one', 1), ('two', 2))
       insert into waybill.dispatchers (id, name, host, pid, version, generation, lease_ms)
       values (gen_random_uuid(), 'old', 'h', 1, '0', 1, 15000)`,
    )
    const { code, findings } = await doctor(database)
    expect(code).toBe(1)
    expect(amiss(findings, 'dispatchers')).toEqual([
      expect.stringMatching(
        /^dispatchers error: no dispatcher of the deployed configuration \(generation 2\) is alive: old/,
      ),
    ])
  })

  it('says when the disk is full, once it knows how large it is', async () => {
    const database = await createTestDatabase()
    await database.pool.query(
      `insert into waybill.messages (id, topic, payload, created_at)
       select gen_random_uuid(), 'a', '1', now() - interval '1 day' * (1 - g / 60000.0) from generate_series(1, 60000) g`,
    )
    const full = await doctor(database, { argv: ['--disk-bytes', '60000000'] })
    expect(amiss(full.findings, 'disk')).toEqual([
      expect.stringMatching(/^disk (warn|error): .* a disk of 60.0 MB is full in/),
    ])
    const roomy = await doctor(database, { argv: ['--disk-bytes', '1000000000000'] })
    expect(amiss(roomy.findings, 'disk')).toEqual([])
  })

  it('notices a pooler that eats notifications, and a direct URL to another database', async () => {
    const [database, other] = [await createTestDatabase(), await createTestDatabase()]
    const pooled = await doctor(database, { url: database.pgbouncerUrl })
    expect(amiss(pooled.findings, 'notifications')).toEqual([
      expect.stringMatching(/^notifications warn: no notification arrived/),
    ])
    const direct = await doctor(database, { url: database.pgbouncerUrl, direct: database.url })
    expect(amiss(direct.findings, 'notifications')).toEqual([])
    const wrong = await doctor(database, { direct: other.url })
    expect(amiss(wrong.findings, 'notifications')).toEqual([expect.stringMatching(/error: .* are two databases/)])
    const dead = await doctor(database, { direct: 'postgres://u:hunter2@127.0.0.1:1/x' })
    expect(amiss(dead.findings, 'notifications')).toEqual([
      expect.stringMatching(/error: the direct URL: no connection/),
    ])
    expect(JSON.stringify(dead.findings)).not.toContain('hunter2')
  })

  it('finds that the stand-by which lanes wait for is not there', async () => {
    const database = await createTestDatabase()
    const cwd = await configDirectory({ dispatcher: { durability: { replicated: 'second' } } })
    const { code, stdout } = await cli(['doctor', '--json'], { cwd, env: { WAYBILL_DATABASE_URL: database.url } })
    expect(code).toBe(1)
    const found = (JSON.parse(stdout) as Finding[]).filter(({ check }) => check === 'durability')
    expect(found).toMatchObject([{ level: 'error', what: 'no stand-by "second" streams from this server' }])
  })

  it('says that it could not look, in place of passing for well', async () => {
    const database = await createTestDatabase()
    const role = `${database.name}_looker`
    await database.pool.query(
      `create role ${role} login; grant usage on schema waybill to ${role}; grant select on waybill.migrations to ${role}`,
    )
    const url = new URL(database.url)
    url.username = role
    try {
      const { findings } = await doctor(database, { url: url.href })
      const lanes = findings.filter(({ check }) => check === 'lanes')
      expect(lanes).toMatchObject([{ level: 'warn', what: expect.stringContaining('could not look') as string }])
    } finally {
      await database.drop()
      const { pool } = await createTestDatabase({ empty: true })
      await pool.query(`drop role ${role}`)
    }
  })
})

describe('settings', () => {
  const fine = {
    version: '18.1',
    versionNumber: 180_001,
    inRecovery: false,
    encoding: 'UTF8',
    synchronousCommit: 'on',
    fsync: 'on',
    fullPageWrites: 'on',
    autovacuum: 'on',
    isolation: 'read committed',
    readOnly: 'off',
    statementTimeoutMs: 0,
    idleTimeoutMs: 0,
    transactionTimeoutMs: null,
    preparedTransactions: 0,
    maxConnections: 100,
    connections: 20,
    nowMs: 0,
  }

  it.each([
    [{}, []],
    [{ versionNumber: 130_000, version: '13.9' }, ['error PostgreSQL 13.9']],
    [{ inRecovery: true }, ['error this is a stand-by']],
    [{ encoding: 'SQL_ASCII' }, [`error the database's encoding is SQL_ASCII`]],
    [{ fsync: 'off', fullPageWrites: 'off' }, ['error fsync is off', 'error full_page_writes is off']],
    [{ synchronousCommit: 'off' }, ['warn synchronous_commit is off by default']],
    [{ autovacuum: 'off' }, ['warn autovacuum is off']],
    [{ isolation: 'serializable' }, ['warn default_transaction_isolation is serializable']],
    [{ readOnly: 'on' }, ['error default_transaction_read_only is on']],
    [{ statementTimeoutMs: 5000 }, ['warn statement_timeout is 5000 ms']],
    [{ transactionTimeoutMs: 100 }, ['warn transaction_timeout is 100 ms']],
    [{ idleTimeoutMs: 60_000 }, []],
    [{ connections: 95 }, ['warn 95 of 100 connections are in use']],
  ])('%j', (changed, expected) => {
    expect(judge({ ...fine, ...changed }).map(({ level, what }) => `${level} ${what}`)).toEqual(expected)
  })

  it('are read as this user gets them', async () => {
    const database = await createTestDatabase()
    await database.pool.query(`alter database ${database.name} set synchronous_commit = off`)
    await database.pool.query(`alter database ${database.name} set default_transaction_isolation = 'repeatable read'`)
    const { findings } = await doctor(database)
    expect(amiss(findings, 'settings')).toEqual([
      'settings warn: synchronous_commit is off by default',
      'settings warn: default_transaction_isolation is repeatable read',
    ])
  })
})
