import type pg from 'pg'
import { codeOf } from '../core/errors.js'

/**
 * The two-integer advisory locks of Waybill in a database, (7718266, n): 1 the stager's, 2 migrating and deploying, 3 changing
 * partitions, 4 the guard of the sequence, 5 roles, 6 finding the way after a restore, 7 maintenance of the inbox, 8 that of
 * jobs, 99 deliverNow's.
 */
export const migrationLock = [7718266, 2] as const

const lockKey = migrationLock.join(', ')

/**
 * Held to the end of the transaction, so that it works through PgBouncer in transaction mode, where a lock of the
 * session would stay behind on a server connection. Does not wait: lock_timeout is for the tables.
 */
export async function tryTransactionLock(client: pg.ClientBase): Promise<boolean> {
  return tryLock(client, `select pg_try_advisory_xact_lock(${lockKey}) as taken`)
}

/** For what can't run in a transaction; the connection must be a direct one. */
export async function trySessionLock(client: pg.ClientBase): Promise<boolean> {
  return tryLock(client, `select pg_try_advisory_lock(${lockKey}) as taken`)
}

export async function releaseSessionLock(client: pg.ClientBase): Promise<void> {
  await client.query(`select pg_advisory_unlock(${lockKey})`)
}

async function tryLock(client: pg.ClientBase, sql: string): Promise<boolean> {
  const { rows } = await client.query<{ taken: boolean }>(sql)
  return rows[0]?.taken === true
}

/** Who migrates right now, in words: `pid 4711 (user app, application "waybill migrate", from 10.0.0.7, since …)`. */
export async function describeLockHolder(client: pg.ClientBase): Promise<string> {
  return describe(
    client,
    `l.locktype = 'advisory' and l.classid = ${migrationLock[0]} and l.objid = ${migrationLock[1]} and l.objsubid = 2`,
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
