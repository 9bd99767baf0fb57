import pg from 'pg'
import { applyMigrations, migrationsHash } from './migrations.js'

/** Any constant will do; it serialises the building of templates by test runs that start together. */
const templateLock = 7_204_118

/**
 * Makes the migrated database that test databases are copied from, unless one for these migrations is there.
 * It gets its final name when it is complete, and takes no connections afterwards: a template with a
 * session on it can't be copied.
 */
export async function ensureTemplate(serverUrl: string): Promise<string> {
  const name = `waybill_template_${await migrationsHash()}`
  const admin = new pg.Client({ connectionString: serverUrl })
  await admin.connect()
  try {
    await admin.query('select pg_advisory_lock($1)', [templateLock])
    const { rowCount } = await admin.query('select from pg_database where datname = $1', [name])
    if (rowCount !== 0) return name
    const draft = `${name}_draft`
    await admin.query(`drop database if exists ${draft} with (force)`)
    await admin.query(`create database ${draft} template template0 encoding 'UTF8'`)
    await applyMigrations(databaseUrl(serverUrl, draft))
    await admin.query(`alter database ${draft} with allow_connections false`)
    await admin.query(`select pg_terminate_backend(pid) from pg_stat_activity where datname = '${draft}'`)
    await admin.query(`alter database ${draft} rename to ${name}`)
    return name
  } finally {
    await admin.end()
  }
}

export function databaseUrl(serverUrl: string, database: string): string {
  const url = new URL(serverUrl)
  url.pathname = `/${database}`
  return url.href
}
