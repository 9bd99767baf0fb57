import { codeOf, WaybillError } from '../core/errors.js'
import { loadSql } from './sql.js'

const hiddenSql = loadSql(import.meta.url, './hidden_tables.sql')

/** Every table of the schema, but for partitions. */
export const waybillTables = [
  ...[
    'attempts',
    'audit',
    'barriers',
    'cluster',
    'configurations',
    'dedupe_keys',
    'deliveries',
    'deltas',
    'destinations',
  ],
  ...[
    'dispatchers',
    'dropped',
    'inbox',
    'inbox_consumers',
    'inbox_generations',
    'inbox_settings',
    'incarnations',
    'jobs',
    'lanes',
    'locks',
  ],
  ...['maintenance', 'messages', 'migrations', 'partition_marks', 'planned_deltas', 'positions', 'receipts'],
  ...['reshards', 'routes', 'scheduled', 'unrouted', 'unrouted_cursor', 'workers'],
] as const

export type WaybillTable = (typeof waybillTables)[number]

interface HiddenTable {
  readonly name: string
  readonly view: boolean
  readonly role: string
}

/** Enough of a pool or of a client. */
interface Queryable {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: unknown[] }>
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
  const { rows } = (await db.query(hiddenSql, [tables])) as { rows: HiddenTable[] }
  return rows.length === 0 ? undefined : rowsHidden(rows)
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

/** Whether an error says that rows are hidden. */
export function isHidden(error: unknown): error is WaybillError {
  return WaybillError.isInstance(error) && error.code === 'WAYBILL_ROWS_HIDDEN'
}

function rowsHidden(hidden: readonly HiddenTable[]): WaybillError {
  const role = hidden[0]?.role ?? ''
  const views = hidden.filter(({ view }) => view).map(({ name }) => `waybill.${name}`)
  const secured = hidden.filter(({ view }) => !view).map(({ name }) => `waybill.${name}`)
  const said: string[] = []
  if (secured.length > 0) {
    said.push(
      `row-level security hides rows of ${secured.join(', ')} from the role ${role}: nothing is read, so that nothing is passed over. As their owner run: ${disableSql(secured)}; or as a superuser: alter role ${role} bypassrls`,
    )
  }
  if (views.length > 0) {
    said.push(
      `${views.join(', ')} ${views.length === 1 ? 'is no table' : 'are no tables'}: put the table back in its place`,
    )
  }
  return new WaybillError('WAYBILL_ROWS_HIDDEN', said.join('. '))
}

/** What takes row-level security away from tables, each with its schema. */
export function disableSql(tables: readonly string[]): string {
  return tables.map((name) => `alter table ${name} disable row level security`).join('; ')
}

/** Tables of Waybill's, with their schema, that row-level security hides from others than their owner. */
export async function securedTables(db: Queryable): Promise<string[]> {
  const { rows } = (await db.query(
    `select format('waybill.%I', c.relname) as name from pg_namespace n join pg_class c on c.relnamespace = n.oid
      where n.nspname = 'waybill' and c.relkind in ('r', 'p') and not c.relispartition and c.relrowsecurity order by 1`,
  )) as { rows: { name: string }[] }
  return rows.map(({ name }) => name)
}
