import pg from 'pg'
import { SteadyClient } from './steady-client.js'
import { backoffDelay } from '../core/backoff.js'
import { systemClock, type Clock } from '../core/clock.js'
import { codeOf, messageOf, WaybillError } from '../core/errors.js'
import { adoptRemedy, isAlreadyThere } from './migrate-untold.js'
import { isOfSubject, readMigrations, type MigrationFile, type MigrationSubject } from './migrate-files.js'
import { appliedMigrations, pendingOf, type AppliedMigrations } from './migrate-history.js'
import {
  describeLockHolder,
  describeTableHolders,
  releaseSessionLock,
  trySessionLock,
  tryTransactionLock,
} from './migrate-lock.js'
import { refuseStrangers } from './migrate-owners.js'
import { lineOf, splitStatements, type SqlStatement } from './migrate-statements.js'
import { isConnectionError } from './sqlstate.js'
import { beginSql } from './transaction.js'
import { asUnreachable } from './unreachable.js'

export { assertSchema, pendingMigrations, type AssertSchemaOptions } from './migrate-history.js'

export interface MigrateOptions {
  /** Default: the package's own `prisma/migrations`. */
  readonly directory?: string
  /** Only the migrations of this subject, for a database that has no other use of Waybill. Default: all. */
  readonly only?: MigrationSubject
  /** How long publishers may have to queue behind a lock that a migration waits for. Milliseconds, default 200. */
  readonly lockTimeoutMs?: number
  /** How long to go on trying for the migration lock and the tables' locks, for each migration. Default 120,000 ms. */
  readonly waitMs?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (event: MigrateProgress) => void
  readonly clock?: Clock
}

export interface MigrateProgress {
  readonly migration: string
  readonly state: 'applying' | 'waiting' | 'applied'
  /** For `waiting`: who is waited for. */
  readonly detail?: string
}

export interface MigrateResult {
  /** Applied by this call, in order. */
  readonly applied: readonly string[]
  /** Were there already. */
  readonly present: readonly string[]
}

interface Run {
  readonly client: pg.ClientBase
  readonly files: readonly MigrationFile[]
  readonly only: MigrationSubject | undefined
  readonly lockTimeoutMs: number
  readonly waitMs: number
  readonly clock: Clock
  readonly signal: AbortSignal | undefined
  readonly report: (event: MigrateProgress) => void
}

/**
 * Brings a database to this version's schema: each migration in its own transaction, one process at a time. Safe to
 * call any number of times, by any number of processes, through PgBouncer; one that fails leaves the earlier ones.
 * @param target connection string, or a connected client that is not inside a transaction
 * @throws WaybillError WAYBILL_MIGRATION_FAILED (file, line, SQLSTATE), WAYBILL_MIGRATION_LOCKED (who holds the lock),
 *   WAYBILL_MIGRATION_CHANGED, WAYBILL_SCHEMA_FOREIGN (what another role owns there), WAYBILL_SCHEMA_NEWER, WAYBILL_DATABASE_IN_RECOVERY, WAYBILL_DATABASE_UNREACHABLE
 */
export async function migrate(target: string | pg.ClientBase, options: MigrateOptions = {}): Promise<MigrateResult> {
  const files = readMigrations(options.directory)
  if (typeof target !== 'string') return migrateWith(target, files, options)
  const client = new SteadyClient({
    connectionString: target,
    application_name: 'waybill migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  })
  // an error between two statements would end the process; the next statement reports the loss
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await migrateWith(client, files, options)
  } catch (error) {
    throw asUnreachable(error, target, '; then run it again: what was applied stays')
  } finally {
    await client.end().catch(() => undefined)
  }
}

async function migrateWith(
  client: pg.ClientBase,
  files: readonly MigrationFile[],
  options: MigrateOptions,
): Promise<MigrateResult> {
  const run: Run = {
    client,
    files,
    only: options.only,
    lockTimeoutMs: options.lockTimeoutMs ?? 200,
    waitMs: options.waitMs ?? 120_000,
    clock: options.clock ?? systemClock,
    signal: options.signal,
    report: (event) => options.onProgress?.(event),
  }
  await checkServer(client)
  await refuseStrangers(client)
  const before = (await appliedMigrations(client)) ?? new Map<string, string | null>()
  const pending = pendingOf(files, before, options.only)
  const applied: string[] = []
  for (const file of pending) if (await applyOne(run, file)) applied.push(file.name)
  await recordChecksums(run, before)
  const wanted = files.map((file) => file.name).filter((name) => isOfSubject(name, options.only))
  return { applied, present: wanted.filter((name) => !applied.includes(name)) }
}

async function checkServer(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ recovery: boolean; number: number; version: string }>(
    `select pg_is_in_recovery() as recovery, current_setting('server_version_num')::int as number,
            current_setting('server_version') as version`,
  )
  const server = rows[0]
  if (server?.recovery === true) {
    throw new WaybillError(
      'WAYBILL_DATABASE_IN_RECOVERY',
      'this server is a stand-by; run the migration on the primary',
    )
  }
  if (server !== undefined && server.number < 140_000) {
    throw new WaybillError(
      'WAYBILL_MIGRATION_FAILED',
      `PostgreSQL ${server.version} is too old; Waybill needs 14 or later`,
    )
  }
}

/** Files that wrote their own row (as under `prisma migrate deploy`) get their checksum. */
async function recordChecksums({ client, files }: Run, applied: AppliedMigrations): Promise<void> {
  const bare = files.filter((file) => applied.get(file.name) === null)
  if (bare.length === 0) return
  await client.query(
    `update waybill.migrations m set checksum = f.checksum
       from unnest($1::text[], $2::text[]) f(name, checksum) where m.name = f.name and m.checksum is null`,
    [bare.map((file) => file.name), bare.map((file) => file.checksum)],
  )
}

/** Tries until it goes through or `waitMs` is over. False: another process applied it meanwhile. */
async function applyOne(run: Run, file: MigrationFile): Promise<boolean> {
  const deadline = run.clock.monotonic() + run.waitMs
  for (let attempt = 1; ; attempt++) {
    run.signal?.throwIfAborted()
    const outcome = file.transactional ? await tryInTransaction(run, file) : await tryOutside(run, file)
    if (outcome === 'applied') run.report({ migration: file.name, state: 'applied' })
    if (outcome === 'applied' || outcome === 'present') return outcome === 'applied'
    const detail = outcome === 'locked' ? await describeLockHolder(run.client) : await describeTableHolders(run.client)
    if (run.clock.monotonic() >= deadline) throw tookTooLong(run, file, outcome, detail)
    run.report({ migration: file.name, state: 'waiting', detail })
    await run.clock.sleep(backoffDelay(attempt, { baseMs: 100, capMs: 2000 }), run.signal)
  }
}

type Outcome = 'applied' | 'present' | 'locked' | WaybillError

function tookTooLong(run: Run, file: MigrationFile, outcome: 'locked' | WaybillError, holder: string): WaybillError {
  if (outcome !== 'locked') {
    return new WaybillError(
      'WAYBILL_MIGRATION_FAILED',
      `${outcome.message}. Tried for ${run.waitMs} ms, never waiting longer than ${run.lockTimeoutMs} ms for a lock so that publishers go on; locks on Waybill's tables are held by ${holder}. Run it again when they are done, or end them`,
      { cause: outcome.cause },
    )
  }
  return new WaybillError(
    'WAYBILL_MIGRATION_LOCKED',
    `another migration has held the lock for more than ${run.waitMs} ms: ${holder}. Wait for it, or end that session with pg_terminate_backend(pid)`,
  )
}

async function tryInTransaction(run: Run, file: MigrationFile): Promise<Outcome> {
  const { client } = run
  await client.query(beginSql)
  try {
    await client.query(`set local lock_timeout = ${Math.round(run.lockTimeoutMs)}; set local statement_timeout = 0;
      set local search_path = pg_catalog; set local client_min_messages = warning; set local synchronous_commit = on`)
    const outcome = (await tryTransactionLock(client)) ? await applyUnderLock(run, file) : 'locked'
    await client.query(outcome === 'applied' ? 'commit' : 'rollback')
    return outcome
  } catch (error) {
    // a connection that is gone has rolled back by itself, and `error` says so
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** The lock is the session's here: through PgBouncer in transaction mode these files can't be applied. */
async function tryOutside(run: Run, file: MigrationFile): Promise<Outcome> {
  const { client } = run
  if (!(await trySessionLock(client))) return 'locked'
  try {
    await client.query(`set lock_timeout = ${Math.round(run.lockTimeoutMs)}; set search_path = pg_catalog`)
    return await applyUnderLock(run, file)
  } finally {
    await client.query('reset lock_timeout; reset search_path')
    await releaseSessionLock(client)
  }
}

async function applyUnderLock(run: Run, file: MigrationFile): Promise<Outcome> {
  const applied = (await appliedMigrations(run.client)) ?? new Map<string, string | null>()
  if (!pendingOf(run.files, applied, run.only).includes(file)) return 'present'
  await refuseStrangers(run.client)
  run.report({ migration: file.name, state: 'applying' })
  // nothing was there to be locked: another session may be making the same
  const unlocked = applied.size === 0
  for (const statement of splitStatements(file.sql)) {
    try {
      await run.client.query(grantable(statement.text))
      // what is there is taken as it is, and may have been made since it was looked for
      if (/\bif not exists\b/i.test(statement.text)) await refuseStrangers(run.client)
    } catch (error) {
      if (isConnectionError(error) || WaybillError.isInstance(error)) throw error
      const failure = failed(file, statement, error)
      if (isWorthRetrying(error, unlocked)) return failure
      throw failure
    }
  }
  await run.client.query(recordSql, [file.name, file.checksum])
  return 'applied'
}

const recordSql = `insert into waybill.migrations (name, checksum) values ($1, $2)
  on conflict (name) do update set checksum = excluded.checksum`

/**
 * Lock time-out, deadlock, serialization failure; and what was made by another session meanwhile (schema, table, or their
 * rows in the catalogs). Not 57014: there, somebody cancelled.
 */
function isWorthRetrying(error: unknown, first: boolean): boolean {
  const state = codeOf(error) ?? ''
  return ['55P03', '40P01', '40001'].includes(state) || (first && ['42P06', '42P07', '23505'].includes(state))
}

/**
 * PostgreSQL asks for CREATE on the database before it looks whether the schema exists; where an administrator made
 * the schema and gave it to this user, that is too much.
 */
function grantable(sql: string): string {
  const schema = /^create\s+schema\s+if\s+not\s+exists\s+(\w+)$/i.exec(sql)?.[1]
  if (schema === undefined) return sql
  return `do $waybill$ begin if to_regnamespace('${schema}') is null then ${sql}; end if; end $waybill$`
}

function failed(file: MigrationFile, statement: SqlStatement, error: unknown): WaybillError {
  const position = error instanceof pg.DatabaseError && error.position !== undefined ? Number(error.position) : 1
  const line = statement.line + lineOf(statement.text, position - 1) - 1
  const state = codeOf(error) ?? 'none'
  const first = statement.text.slice(0, 80).split('\n', 1)[0] ?? ''
  const kept = file.transactional
    ? 'Nothing of this migration was kept; earlier ones were'
    : 'It does not run in a transaction: statements before this one were kept'
  return new WaybillError(
    'WAYBILL_MIGRATION_FAILED',
    `migration ${file.name} failed at line ${line} (${first}), SQLSTATE ${state}: ${messageOf(error)}. ${kept}${remedy(state)}`,
    { cause: error },
  )
}

function remedy(state: string): string {
  if (isAlreadyThere(state)) return `. Probably ${adoptRemedy}`
  if (state === '25006')
    return '. The database, this user or the server is set to read only (default_transaction_read_only)'
  if (state !== '42501') return ''
  return '. The user needs CREATE on the database (grant create on database … to …) or a schema "waybill" of its own, and must own what earlier migrations made'
}
