import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { WaybillError } from '../core/errors.js'

export interface MigrationFile {
  /** Folder below `prisma/migrations`: `20261122000000_log`. Names sort in the order of application. */
  readonly name: string
  readonly sql: string
  /** SHA-256 of the text with LF line ends, hex. */
  readonly checksum: string
  /** False for a file whose first line is `-- waybill:no-transaction`. */
  readonly transactional: boolean
}

/** Two folders up from here, in the source and in the build alike. */
export const migrationsDirectory: string = fileURLToPath(new URL('../../prisma/migrations/', import.meta.url))

/** What a database can have without the rest: `inbox` is for the database of a consumer. */
export type MigrationSubject = 'inbox'

/** Whether a migration is of a subject: `20261122000500_inbox`, `20270301000000_inbox_more`. Without one, all are. */
export function isOfSubject(name: string, only: MigrationSubject | undefined): boolean {
  return only === undefined || name.replace(/^\d+_/, '').split('_')[0] === only
}

const noTransaction = /^--\s*waybill:no-transaction\s*$/

/**
 * The migrations that this version brings, in order.
 * @throws WaybillError WAYBILL_MIGRATION_FAILED when the folder is missing or empty: the package is incomplete
 */
export function readMigrations(directory: string = migrationsDirectory): MigrationFile[] {
  const names = existsSync(directory)
    ? readdirSync(directory, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && existsSync(join(directory, entry.name, 'migration.sql')))
        .map((entry) => entry.name)
        .sort()
    : []
  if (names.length === 0) {
    throw new WaybillError(
      'WAYBILL_MIGRATION_FAILED',
      `no migrations in ${directory}; they ship with the package as prisma/migrations: install it again, and keep that folder beside dist when bundling`,
    )
  }
  return names.map((name) => parseMigration(name, readFileSync(join(directory, name, 'migration.sql'), 'utf8')))
}

export function parseMigration(name: string, text: string): MigrationFile {
  // a checkout with CRLF line ends is the same migration
  const sql = text.replaceAll('\r\n', '\n')
  const firstLine = sql.slice(0, Math.max(0, sql.indexOf('\n')))
  return {
    name,
    sql,
    checksum: createHash('sha256').update(sql).digest('hex'),
    transactional: !noTransaction.test(firstLine),
  }
}
