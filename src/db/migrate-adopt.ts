import type pg from 'pg'
import { WaybillError } from '../core/errors.js'
import { isOfSubject, type MigrationFile, type MigrationSubject, readMigrations } from './migrate-files.js'
import { appliedMigrations, pendingOf } from './migrate-history.js'
import { tryTransactionLock } from './migrate-lock.js'
import { lockRowsOf, objectsOf } from './migrate-untold.js'
import { beginSql } from './transaction.js'

/**
 * Writes the history of tables that are there without it, once every table, view, sequence and function that the files make
 * is found, and the rows that they write. Gives the names that were written down. In one transaction; columns are not compared.
 * @throws WaybillError WAYBILL_MIGRATION_FAILED for what is missing, WAYBILL_MIGRATION_LOCKED
 */
export async function adoptSchema(client: pg.ClientBase, only?: MigrationSubject): Promise<string[]> {
  await client.query(beginSql)
  try {
    await client.query('set local search_path = pg_catalog; set local client_min_messages = warning')
    if (!(await tryTransactionLock(client)))
      throw new WaybillError(
        'WAYBILL_MIGRATION_LOCKED',
        'a migration runs just now; adopt the tables when it has ended',
      )
    const files = readMigrations()
    const pending = pendingOf(files, (await appliedMigrations(client)) ?? new Map(), only)
    await requireObjects(client, pending)
    const rows = files.filter(({ name }) => isOfSubject(name, only)).flatMap(lockRowsOf)
    for (const statement of [...rows, ...rowsSql]) await client.query(statement)
    await client.query(
      `insert into waybill.migrations (name, checksum) select * from unnest($1::text[], $2::text[])
       on conflict (name) do nothing`,
      [pending.map(({ name }) => name), pending.map(({ checksum }) => checksum)],
    )
    await client.query('commit')
    return pending.map(({ name }) => name)
  } catch (error) {
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

async function requireObjects(client: pg.ClientBase, files: readonly MigrationFile[]): Promise<void> {
  const wanted = files.flatMap(objectsOf)
  const { rows } = await client.query<{ what: string }>(
    `select format('%s waybill.%s', w.kind, w.name) as what from unnest($1::text[], $2::text[]) w(kind, name)
      where case w.kind
              when 'function' then not exists (select from pg_proc p join pg_namespace n on n.oid = p.pronamespace
                                                where n.nspname = 'waybill' and p.proname = w.name)
              else not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                                where n.nspname = 'waybill' and c.relname = w.name) end`,
    [wanted.map(({ kind }) => kind), wanted.map(({ name }) => name)],
  )
  if (rows.length === 0) return
  throw new WaybillError(
    'WAYBILL_MIGRATION_FAILED',
    `these tables are not as this version makes them: ${rows
      .slice(0, 10)
      .map(({ what }) => what)
      .join(', ')} is missing. Nothing was written down; restore a whole schema, or drop it and migrate`,
  )
}

/** The rows that migrations write, where a table has none. What is unknown of the server a dispatcher finds out. */
const rowsSql: readonly string[] = [
  `do $$ begin
     if to_regclass('waybill.maintenance') is not null then
       insert into waybill.maintenance default values on conflict do nothing;
       insert into waybill.cluster (xid, relation) values (pg_current_xact_id(), 'waybill.cluster'::regclass) on conflict do nothing;
     end if;
     if to_regclass('waybill.inbox_settings') is not null then
       insert into waybill.inbox_settings default values on conflict do nothing;
     end if;
   end $$`,
  // the lowest partition of the inbox is where claims go on; in an empty copy any would do
  `do $$
   declare first bigint;
   begin
     if to_regclass('waybill.inbox_generations') is null or exists (select from waybill.inbox_generations) then return; end if;
     select min(substring(c.relname::text from 8)::bigint) into first
       from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'waybill.inbox'::regclass and c.relname ~ '^inbox_p[0-9]+$';
     if first is null then return; end if;
     insert into waybill.inbox_generations (generation, opened_at, mark)
     select substring(c.relname::text from 8)::bigint, case when c.relname = 'inbox_p' || first then clock_timestamp() end,
            case when c.relname = 'inbox_p' || first then '0'::xid8 end
       from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = 'waybill.inbox'::regclass and c.relname ~ '^inbox_p[0-9]+$';
     perform setval('waybill.inbox_step', 2 * first);
   end $$`,
]
