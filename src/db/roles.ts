import type pg from 'pg'
import { codeOf, WaybillError } from '../core/errors.js'
import type { MigrationSubject } from './migrate-files.js'
import { grantsFor, type RoleKind } from './role-grants.js'
import { beginSql } from './transaction.js'

/** Default names: waybill_publisher, waybill_dispatcher, waybill_observer, waybill_reader, waybill_consumer. */
export type RoleNames = Partial<Record<RoleKind, string>>

export interface ApplyRolesOptions {
  readonly names?: RoleNames
  /**
   * Dispatchers wait for a stand-by (`dispatcher.durability`): their role gets `pg_read_all_stats` too, which only a
   * superuser may grant, or who has it with the admin option. Default false.
   */
  readonly standby?: boolean
  /** The database has this subject alone: only the roles that have a meaning there. Default: all roles. */
  readonly only?: MigrationSubject
}

export interface RolesReport {
  /** Roles that were made. They can't log in: grant them to the users that do. */
  readonly created: readonly string[]
  /** Roles that have everything they need. */
  readonly granted: readonly string[]
  /** What an administrator must run for the rest; null: nothing. */
  readonly adminSql: string | null
}

const defaultNames = {
  publisher: 'waybill_publisher',
  dispatcher: 'waybill_dispatcher',
  observer: 'waybill_observer',
  reader: 'waybill_reader',
  consumer: 'waybill_consumer',
}
const all = ['publisher', 'dispatcher', 'observer', 'reader', 'consumer'] as const
const rolesOf = { inbox: ['observer', 'consumer'] } as const

/**
 * Makes the roles and grants them what each needs, of what is there and of what later migrations bring. Run again
 * after a migration, it grants only what is new. Where the user may not make roles, those that exist get their grants, and
 * the report has the SQL for the rest. Runs in one transaction; works through PgBouncer.
 * @throws WaybillError WAYBILL_SCHEMA_MISSING
 */
export async function applyRoles(
  client: pg.ClientBase,
  { names, standby = false, only }: ApplyRolesOptions = {},
): Promise<RolesReport> {
  const roles = { ...defaultNames, ...names }
  await client.query(beginSql)
  try {
    // a grant writes to each function's and table's row: two at once would fail on the same one
    await client.query(
      `set local search_path = pg_catalog; set local lock_timeout = '5s'; set local client_min_messages = error`,
    )
    await checkSchema(client)
    // who may not lock it may grant nothing either: what is missing is then said
    await tryAll(client, [`select from waybill.locks k where k.name = 'roles' for update`])
    const created: string[] = []
    const granted: string[] = []
    const admin: string[] = []
    for (const kind of only === undefined ? all : rolesOf[only]) {
      const role = roles[kind]
      const made = await ensureRole(client, role)
      if (made === 'created') created.push(role)
      const statements = await grantsFor(client, kind, role)
      const has = made !== 'denied' && (await tryAll(client, statements)) && (await hasGrants(client, kind, role, only))
      if (!has)
        admin.push(...(made === 'denied' ? [`create role ${client.escapeIdentifier(role)}`] : []), ...statements)
      const seeing = standby && kind === 'dispatcher' ? await missingSight(client, role, made !== 'denied') : []
      admin.push(...seeing)
      if (has && seeing.length === 0) granted.push(role)
    }
    await client.query('commit')
    return { created, granted, adminSql: admin.length === 0 ? null : `${admin.join(';\n')};\n` }
  } catch (error) {
    // a connection that is gone has rolled back by itself
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

async function checkSchema(client: pg.ClientBase): Promise<void> {
  const { rowCount } = await client.query(
    `select from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'waybill' and c.relname = 'migrations'`,
  )
  if (rowCount === 0) {
    throw new WaybillError(
      'WAYBILL_SCHEMA_MISSING',
      'there is no schema "waybill" to grant anything on; run `waybill migrate` first',
    )
  }
}

async function ensureRole(client: pg.ClientBase, role: string): Promise<'present' | 'created' | 'denied'> {
  const { rowCount } = await client.query('select from pg_roles where rolname = $1', [role])
  if (rowCount !== 0) return 'present'
  return (await tryAll(client, [`create role ${client.escapeIdentifier(role)}`])) ? 'created' : 'denied'
}

/** All of it or nothing. False when it is not allowed; a role that somebody else made meanwhile counts as made. */
async function tryAll(client: pg.ClientBase, statements: readonly string[]): Promise<boolean> {
  await client.query('savepoint waybill_roles')
  try {
    for (const statement of statements) await client.query(statement)
    await client.query('release savepoint waybill_roles')
    return true
  } catch (error) {
    await client.query('rollback to savepoint waybill_roles')
    // duplicate_object, unique_violation: of CREATE ROLE alone
    if (['42710', '23505'].includes(codeOf(error) ?? '')) return true
    if (codeOf(error) === '42501') return false
    throw error
  }
}

/** A dispatcher's role must see the positions of stand-bys. What is left to an administrator. */
async function missingSight(client: pg.ClientBase, role: string, there: boolean): Promise<string[]> {
  const grant = `grant pg_read_all_stats to ${client.escapeIdentifier(role)}`
  const sees = async (): Promise<boolean> => {
    const sql = `select pg_has_role($1::name, 'pg_read_all_stats', 'usage') as sees`
    return (await client.query<{ sees: boolean }>(sql, [role])).rows[0]?.sees === true
  }
  return there && ((await sees()) || ((await tryAll(client, [grant])) && (await sees()))) ? [] : [grant]
}

/** One who grants without the right to gets a warning, not an error: so look. */
async function hasGrants(
  client: pg.ClientBase,
  kind: RoleKind,
  role: string,
  only: MigrationSubject | undefined,
): Promise<boolean> {
  const probe = {
    publisher: `has_function_privilege($1::name, p.oid, 'execute') and has_column_privilege($1::name, 'waybill.messages', 'payload', 'insert') from pg_proc p where p.pronamespace = 'waybill'::regnamespace and p.proname = 'publish'`,
    dispatcher: `has_table_privilege($1::name, 'waybill.positions', 'insert')`,
    observer: `has_table_privilege($1::name, 'waybill.${only ?? 'undelivered'}', 'select')`,
    reader: `has_column_privilege($1::name, 'waybill.messages', 'payload', 'select')`,
    consumer: `has_function_privilege($1::name, p.oid, 'execute') from pg_proc p where p.pronamespace = 'waybill'::regnamespace and p.proname = 'inbox_claim'`,
  }[kind]
  const { rows } = await client.query<{ schema: boolean; probe: boolean }>(
    `select has_schema_privilege($1::name, 'waybill', 'usage') as schema, (select ${probe}) as probe`,
    [role],
  )
  return rows[0]?.schema === true && rows[0].probe
}
