import type pg from 'pg'
import { lockIfThere } from './migrate-lock.js'
import { refuseStrangersScript } from './migrate-owners.js'
import { readMigrations, type MigrationFile, type MigrationSubject } from './migrate-files.js'
import { appliedMigrations, pendingOf } from './migrate-history.js'

export interface MigrationSqlOptions {
  /** Only what this database lacks. Without it: everything, for a database that has nothing yet. */
  readonly pendingFor?: pg.ClientBase
  readonly directory?: string
  /** Only this subject's. Default: all. */
  readonly only?: MigrationSubject
}

/**
 * The migrations as a script for psql, with their bookkeeping: for those whose changes go through an administrator.
 * Stops at the first error; run by psql, `waybill migrate` finds nothing left to do. Empty when nothing is pending.
 * @throws WaybillError WAYBILL_SCHEMA_NEWER, WAYBILL_MIGRATION_CHANGED
 */
export async function migrationSql({ pendingFor, directory, only }: MigrationSqlOptions = {}): Promise<string> {
  const files = readMigrations(directory)
  const applied = pendingFor === undefined ? undefined : await appliedMigrations(pendingFor)
  const pending = pendingOf(files, applied ?? new Map(), only)
  return pending.length === 0 ? '' : ['\\set ON_ERROR_STOP on\n', ...pending.map(script)].join('\n')
}

function script(file: MigrationFile): string {
  const record = `insert into waybill.migrations (name, checksum) values ('${file.name}', '${file.checksum}')
  on conflict (name) do update set checksum = excluded.checksum;`
  const body = file.sql.trimEnd()
  if (!file.transactional) return `${body}\n${record}\n`
  return `begin;
set local lock_timeout = '2s';
set local search_path = pg_catalog;
${refuseStrangersScript}
${lockIfThere};
${body}
${record}
commit;
`
}
