import type pg from 'pg'
import type { MigrationFile } from './migrate-files.js'

/** SQLSTATEs of what is there already: a table, a function, a type, a column, a constraint. */
const duplicates = new Set(['42P07', '42723', '42710', '42701', '42P06'])

export const adoptRemedy =
  'the tables are there without their history (waybill.migrations): a dump of the schema alone, or a TRUNCATE of everything. In a database of tests run: drop schema waybill cascade; and migrate again. Where the tables are as this version makes them: waybill migrate --adopt'

/** True for the failure of a migration that finds its objects there already. */
export function isAlreadyThere(sqlstate: string): boolean {
  return duplicates.has(sqlstate)
}

/** Of these migrations, those that the history lacks though the first table that each makes is there. */
export async function withoutHistory(client: pg.ClientBase, missing: readonly MigrationFile[]): Promise<string[]> {
  const firsts = missing.flatMap((file) => {
    const [made] = objectsOf(file).filter(({ kind, shared }) => kind === 'table' && !shared)
    return made ? [{ file: file.name, table: made.name }] : []
  })
  const { rows } = await client.query<{ file: string }>(
    `select f.file from unnest($1::text[], $2::text[]) f(file, name)
      where exists (select from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
                     where n.nspname = 'waybill' and c.relname = f.name)`,
    [firsts.map(({ file }) => file), firsts.map(({ table }) => table)],
  )
  return rows.map(({ file }) => file)
}

export interface MadeObject {
  readonly kind: 'table' | 'view' | 'sequence' | 'function'
  readonly name: string
  /** Made unless it is there: other migrations make it too. */
  readonly shared: boolean
}

const create =
  /^create\s+(?:or\s+replace\s+)?(?:unlogged\s+)?(table|view|sequence|function)\s+(if\s+not\s+exists\s+)?waybill\.(\w+)(\s+partition\s+of)?/gim

/** What a file makes. Not its partitions: maintenance makes and drops them. */
export function objectsOf(file: MigrationFile): MadeObject[] {
  return [...file.sql.matchAll(create)]
    .filter(([, , , , partition]) => partition === undefined)
    .map(([, kind = '', shared, name = '']) => ({
      kind: kind.toLowerCase() as MadeObject['kind'],
      name,
      shared: shared !== undefined,
    }))
}

/** The statements of a file that give waybill.locks its rows; each may run again. */
export function lockRowsOf(file: MigrationFile): string[] {
  return file.sql.match(/^insert into waybill\.locks [^;]*;/gm) ?? []
}
