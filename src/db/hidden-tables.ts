import type pg from 'pg'
import { codeOf, WaybillError } from '../core/errors.js'
import { loadSql } from './sql.js'

const hiddenSql = loadSql(import.meta.url, './hidden_tables.sql')

/** Every table of the schema, but for partitions. */
export const waybillTables = [
  ...['attempts', 'audit', 'cluster', 'configurations', 'dedupe_keys', 'deliveries', 'deltas', 'destinations'],
  ...['dispatchers', 'dropped', 'inbox', 'inbox_generations', 'inbox_settings', 'incarnations', 'jobs', 'lanes'],
  ...['maintenance', 'messages', 'migrations', 'partition_marks', 'planned_deltas', 'positions', 'receipts'],
  ...['reshards', 'routes', 'scheduled', 'unrouted', 'unrouted_cursor', 'workers'],
] as const

export type WaybillTable = (typeof waybillTables)[number]

interface HiddenTable {
  readonly name: string
  readonly view: boolean
}

/** Enough of a pool or of a client. */
interface Queryable {
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<R>>
}

/**
 * What makes a SELECT of this user's see fewer rows than there are, without an error: row-level security (some hosts switch
 * it on by themselves for each new table), or a view in the place of a table. A position must never move over what was not seen, so
 * there nothing is read. Resolves to the error that says so, or to undefined.
 */
export async function hiddenRows(
  db: Queryable,
  tables: readonly WaybillTable[] = waybillTables,
): Promise<WaybillError | undefined> {
  const { rows } = await db.query<HiddenTable>(hiddenSql, [tables])
  if (rows.length === 0) return undefined
  const { rows: users } = await db.query<{ role: string }>('select quote_ident(current_user) as role')
  return rowsHidden(rows, users[0]?.role ?? '')
}

/** @throws WaybillError WAYBILL_ROWS_HIDDEN */
export async function assertRowsSeen(db: Queryable, tables?: readonly WaybillTable[]): Promise<void> {
  const hidden = await hiddenRows(db, tables)
  if (hidden) throw hidden
}

/**
 * What a failed statement means where PostgreSQL refused it (42501: Waybill's functions would rather fail than see a part,
 * and row-level security refuses rows) and rows are hidden. Other errors are given back as they are.
 */
export async function explainRefused(db: Queryable, error: unknown): Promise<unknown> {
  if (codeOf(error) !== '42501') return error
  return (await hiddenRows(db).catch(() => undefined)) ?? error
}

function rowsHidden(hidden: readonly HiddenTable[], role: string): WaybillError {
  const views = hidden.filter(({ view }) => view).map(({ name }) => `waybill.${name}`)
  const secured = hidden.filter(({ view }) => !view).map(({ name }) => `waybill.${name}`)
  const said: string[] = []
  if (secured.length > 0) {
    said.push(
      `row-level security hides rows of ${secured.join(', ')} from ${role}: nothing is read, so that nothing is passed over. As the owner, run: ${secured.map((name) => `alter table ${name} disable row level security`).join('; ')}; or, as a superuser: alter role ${role} bypassrls`,
    )
  }
  if (views.length > 0) {
    said.push(`${views.join(', ')} ${views.length === 1 ? 'is no table' : 'are no tables'}: put the table back in its place`)
  }
  return new WaybillError('WAYBILL_ROWS_HIDDEN', said.join('. '))
}
