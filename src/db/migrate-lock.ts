import type pg from 'pg'
import { codeOf } from '../core/errors.js'

/**
 * Migrating is one session's at a time: it has waybill.migrations locked, in a mode that only who may write to the table can
 * ask for. (An advisory lock any login may take and keep.) Where the table is not there yet, the names that the first
 * migration makes keep a second session out: it waits for their commit, and finds them taken.
 */
export const lockIfThere = `do $waybill$ begin
  if to_regclass('waybill.migrations') is not null then lock table waybill.migrations in share row exclusive mode; end if;
end $waybill$`

/** False while another session has it: then the transaction is to be rolled back. Waits no longer than `lock_timeout`. */
export async function tryTransactionLock(client: pg.ClientBase): Promise<boolean> {
  try {
    await client.query(lockIfThere)
    return true
  } catch (error) {
    if (codeOf(error) === '55P03') return false
    throw error
  }
}

/**
 * For what can't run in a transaction; the connection must be a direct one. No other lock of ours outlives its transaction,
 * so this one is advisory: a login that keeps it delays the migration, which says who that is, and nothing else.
 */
const sessionLock = [7718266, 2] as const

export async function trySessionLock(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>(
    `select pg_try_advisory_lock(${sessionLock.join(', ')}) as taken`,
  )
  return rows[0]?.taken === true
}

export async function releaseSessionLock(client: pg.ClientBase): Promise<void> {
  await client.query(`select pg_advisory_unlock(${sessionLock.join(', ')})`)
}

/** Who migrates right now, in words: `pid 4711 (user app, application "waybill migrate", from 10.0.0.7, since …)`. */
export async function describeLockHolder(client: pg.ClientBase): Promise<string> {
  return describe(
    client,
    `((l.relation = to_regclass('waybill.migrations') and l.mode in ('RowExclusiveLock', 'ShareUpdateExclusiveLock',
        'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))
      or (l.locktype = 'advisory' and l.classid = ${sessionLock[0]} and l.objid = ${sessionLock[1]} and l.objsubid = 2))`,
  )
}

/** Sessions with locks on Waybill's tables: those that a migration which ran into lock_timeout may have waited for. */
export async function describeTableHolders(client: pg.ClientBase): Promise<string> {
  return describe(
    client,
    `l.relation in (select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = 'waybill')`,
  )
}

async function describe(client: pg.ClientBase, condition: string): Promise<string> {
  try {
    const { rows } = await client.query<{ holder: string }>(
      `select distinct format('pid %s (user %s, application "%s", from %s, since %s)', l.pid, a.usename,
                a.application_name, coalesce(host(a.client_addr), 'a local socket'),
                to_char(coalesce(a.xact_start, a.backend_start) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')) as holder
         from pg_locks l left join pg_stat_activity a on a.pid = l.pid
        where l.granted and l.pid <> pg_backend_pid()
          and l.database = (select d.oid from pg_database d where d.datname = current_database()) and ${condition}
        limit 5`,
    )
    return rows.length === 0 ? 'nobody any more' : rows.map((row) => row.holder).join(', ')
  } catch (error) {
    // only words for another error are made here: that one must not be lost to this
    return `unknown (${codeOf(error) ?? 'no answer'})`
  }
}
