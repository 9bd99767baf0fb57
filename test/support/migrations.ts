import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { migrate } from '../../src/db/migrate.js'

const root = join(import.meta.dirname, '../..')

/** The one place through which tests bring a database to the current schema. */
export async function applyMigrations(url: string): Promise<void> {
  await migrate(url)
}

/** Changes whenever the schema may: a template made from other migrations is never mistaken for this one. */
export async function migrationsHash(): Promise<string> {
  const hash = createHash('sha256')
  for (const file of [
    ...(await filesIn('prisma/migrations', '.sql')),
    ...(await filesIn('src/db', '.ts', 'migrate')),
  ]) {
    hash.update(file)
    hash.update(await readFile(join(root, file)))
  }
  return hash.digest('hex').slice(0, 12)
}

async function filesIn(directory: string, extension: string, prefix = ''): Promise<string[]> {
  const files = await readdir(join(root, directory), { recursive: true })
  return files
    .filter((file) => file.startsWith(prefix) && file.endsWith(extension))
    .sort()
    .map((file) => join(directory, file))
}
