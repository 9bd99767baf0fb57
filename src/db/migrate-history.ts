import type pg from 'pg'
import { WaybillError } from '../core/errors.js'
import { assertRowsSeen, hiddenRows } from './hidden-tables.js'
import { version as packageVersion } from '../core/version.js'
import { adoptRemedy, withoutHistory } from './migrate-untold.js'
import { isOfSubject, readMigrations, type MigrationFile, type MigrationSubject } from './migrate-files.js'

/** Names and checksums that the database has; a null checksum was written by the file itself (`prisma migrate deploy`). */
export type AppliedMigrations = ReadonlyMap<string, string | null>

/**
 * Undefined when the schema is not there. Asks the catalog first: `to_regclass` raises where USAGE is missing.
 * @throws WaybillError WAYBILL_SCHEMA_MISSING, WAYBILL_ROWS_HIDDEN
 */
export async function appliedMigrations(client: pg.ClientBase): Promise<AppliedMigrations | undefined> {
  const { rows: tables } = await client.query<{ readable: boolean }>(
    `select has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select') as readable
       from pg_catalog.pg_namespace n join pg_catalog.pg_class c on c.relnamespace = n.oid
      where n.nspname = 'waybill' and c.relname = 'migrations'`,
  )
  const table = tables[0]
  if (table === undefined) return undefined
  if (!table.readable) {
    throw new WaybillError(
      'WAYBILL_SCHEMA_MISSING',
      'the schema "waybill" is there but this user may not read it; run `waybill migrate --roles` as its owner and grant waybill_publisher, waybill_dispatcher, waybill_observer or waybill_consumer to this user',
    )
  }
  // hidden rows would say that nothing was ever applied
  if (await hiddenRows(client, ['migrations'])) await assertRowsSeen(client)
  const { rows } = await client.query<{ name: string; checksum: string | null }>(
    'select name, checksum from waybill.migrations order by name collate "C"',
  )
  return new Map(rows.map((row) => [row.name, row.checksum]))
}

/**
 * Which files the database lacks, in order: of one subject, or all. A database that has one subject has gaps.
 * @throws WaybillError WAYBILL_SCHEMA_NEWER, WAYBILL_MIGRATION_CHANGED
 */
export function pendingOf(
  files: readonly MigrationFile[],
  applied: AppliedMigrations,
  only?: MigrationSubject,
): MigrationFile[] {
  const newest = files.at(-1)?.name ?? ''
  const unknown = unknownNewer(files, applied)
  if (unknown.length > 0) {
    throw new WaybillError(
      'WAYBILL_SCHEMA_NEWER',
      `the database has ${unknown.join(', ')}, which waybill ${packageVersion} does not know (its newest is ${newest}); run this command with the version that last migrated the database, or a later one`,
    )
  }
  for (const file of files) {
    const checksum = applied.get(file.name)
    if (typeof checksum === 'string' && checksum !== file.checksum) {
      throw new WaybillError(
        'WAYBILL_MIGRATION_CHANGED',
        `prisma/migrations/${file.name}/migration.sql is not what was applied (sha256 ${file.checksum}, applied ${checksum}); restore the file from the package: an applied migration is never edited, a change goes into a new one`,
      )
    }
  }
  return files.filter((file) => isOfSubject(file.name, only) && !applied.has(file.name))
}

/**
 * Migrations that a database lacks; for `waybill migrate --check`. Writes nothing.
 * @throws WaybillError WAYBILL_SCHEMA_NEWER, WAYBILL_MIGRATION_CHANGED
 */
export async function pendingMigrations(
  client: pg.ClientBase,
  directory?: string,
  only?: MigrationSubject,
): Promise<string[]> {
  const applied = await appliedMigrations(client)
  return pendingOf(readMigrations(directory), applied ?? new Map(), only).map((file) => file.name)
}

/** Whether tables of migrations that a database lacks are there all the same. */
export async function isWithoutHistory(client: pg.ClientBase, missing: readonly string[]): Promise<boolean> {
  const files = readMigrations().filter((file) => missing.includes(file.name))
  return (await withoutHistory(client, files)).length > 0
}

export interface AssertSchemaOptions {
  readonly directory?: string
  /** The version that asks, `major.minor.patch`. Default: this package's. */
  readonly version?: string
  /** Only what this subject needs. Default: everything. */
  readonly only?: MigrationSubject
}

/**
 * For publishers and dispatchers at their start: everything that this version needs is there, and nothing later says
 * that it is too old. A later migration alone is no reason to refuse: schemas are migrated before programs are
 * deployed, and programs are rolled back without their schema. One that does end older versions says so in its name:
 * `…_min_0_3` refuses everything before 0.3 (docs/migrations.md).
 * @throws WaybillError WAYBILL_SCHEMA_MISSING, WAYBILL_SCHEMA_NEWER
 */
export async function assertSchema(client: pg.ClientBase, options: AssertSchemaOptions = {}): Promise<void> {
  const version = options.version ?? packageVersion
  const files = readMigrations(options.directory)
  const applied = await appliedMigrations(client)
  const missing = files.filter((file) => isOfSubject(file.name, options.only) && applied?.has(file.name) !== true)
  if (applied === undefined || missing.length > 0) {
    const what = applied === undefined ? 'the schema "waybill"' : missing.map((file) => file.name).join(', ')
    const untold = await withoutHistory(client, missing)
    if (untold.length > 0)
      throw new WaybillError(
        'WAYBILL_SCHEMA_MISSING',
        `this database lacks the history of its migrations: ${adoptRemedy}`,
      )
    throw new WaybillError(
      'WAYBILL_SCHEMA_MISSING',
      `this database lacks ${what}; run \`waybill migrate${options.only ? ` --only ${options.only}` : ''}\` first`,
    )
  }
  for (const name of unknownNewer(files, applied)) {
    const minimum = minimumVersion(name)
    if (minimum === undefined || !isBefore(version, minimum)) continue
    throw new WaybillError(
      'WAYBILL_SCHEMA_NEWER',
      `the database has ${name}, which needs waybill ${minimum.join('.')} or later; this is ${version}: deploy that version`,
    )
  }
}

function unknownNewer(files: readonly MigrationFile[], applied: AppliedMigrations): string[] {
  const newest = files.at(-1)?.name ?? ''
  return [...applied.keys()].filter((name) => name > newest)
}

type MinorVersion = readonly [major: number, minor: number]

function minimumVersion(name: string): MinorVersion | undefined {
  const match = /_min_(\d+)_(\d+)$/.exec(name)
  return match === null ? undefined : [Number(match[1]), Number(match[2])]
}

function isBefore(version: string, [major, minor]: MinorVersion): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number)
  return ownMajor < major || (ownMajor === major && ownMinor < minor)
}
