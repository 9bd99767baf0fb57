import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'

const root = join(import.meta.dirname, '../..')

/** The one place through which tests bring a database to the current schema. */
export async function applyMigrations(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const file of await migrationFiles()) await client.query(await readFile(file, 'utf8'))
  } finally {
    await client.end()
  }
}

/** Changes whenever the schema may: a template made from other migrations is never mistaken for this one. */
export async function migrationsHash(): Promise<string> {
  const hash = createHash('sha256')
  for (const file of [...(await migrationFiles()), join(root, 'src/db/migrate.ts')]) {
    hash.update(file.slice(root.length))
    hash.update(await readFile(file).catch(() => ''))
  }
  return hash.digest('hex').slice(0, 12)
}

async function migrationFiles(): Promise<string[]> {
  const directory = join(root, 'prisma/migrations')
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => [])
  const names = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name)
  return names.sort().map((name) => join(directory, name, 'migration.sql'))
}
