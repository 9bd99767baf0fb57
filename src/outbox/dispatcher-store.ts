import type pg from 'pg'
import { serialized } from '../db/sqlstate.js'
import { codeOf, WaybillError } from '../core/errors.js'
import { loadSql } from '../db/sql.js'
import { beginSql, inTransaction } from '../db/transaction.js'
import { notSeen } from './fenced-read.js'
import type { LaneFence, Queryable } from './lane-store.js'

const acquireSql = loadSql(import.meta.url, './sql/lane_acquire.sql')
const renewSql = loadSql(import.meta.url, './sql/lane_renew.sql')
const releaseSql = loadSql(import.meta.url, './sql/lane_release.sql')

export interface DispatcherIdentity {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly pid: number
  readonly version: string
  readonly generation: number
  readonly leaseMs: number
}

export interface SeenDispatcher {
  readonly id: string
  readonly beat: number
  readonly leaseMs: number
  readonly generation: number
}

export interface SeenLane {
  readonly id: number
  readonly destination: string
  readonly shard: number
  readonly shards: number
  readonly epoch: number
  readonly holder: string | null
  readonly dispatcher: string | null
  readonly state: 'active' | 'paused' | 'closing'
  readonly commands: number
}

/** What a heartbeat answers: the world as the database sees it. */
export interface Beat {
  readonly nonce: string
  readonly isolation: string
  readonly sequence: { readonly last: number }
  readonly sequenceCache: number
  /** The greatest floor or ceiling that a lane has stored: the sequence must have come further. */
  readonly storedFloor: number
  /** The newest configuration's. */
  readonly generation: number
  readonly dispatchers: readonly SeenDispatcher[]
  readonly lanes: readonly SeenLane[]
}

export async function beat(db: Queryable, me: DispatcherIdentity): Promise<Beat> {
  const { rows } = await serialized(() =>
    db.query<{ beat: Beat }>(
      'select waybill.dispatcher_beat($1::uuid, $2::text, $3::text, $4::int, $5::text, $6::int, $7::int) as beat',
      [me.id, me.name, me.host, me.pid, me.version, me.generation, me.leaseMs],
    ),
  )
  return (rows[0] as { beat: Beat }).beat
}

/**
 * Takes a lane; resolves to its new epoch, or undefined when somebody was quicker or a newer configuration is deployed. A session that blocks the row (a
 * holder stopped inside its commit blocks it until TCP gives up) is ended, when it is one of Waybill's and this role may.
 */
export async function acquireLane(
  pool: pg.Pool,
  lane: SeenLane,
  take: {
    readonly holder: string
    readonly dispatcher: string
    readonly nonce: string
    readonly generation: number
  },
  lockTimeoutMs: number,
): Promise<string | undefined> {
  const client = await pool.connect()
  let failed = true
  try {
    await client.query(`${beginSql}; set local lock_timeout = ${Math.round(lockTimeoutMs)}`)
    try {
      const { rows } = await client.query<{ epoch: string }>(acquireSql, [
        lane.id,
        lane.epoch,
        lane.holder,
        take.holder,
        take.dispatcher,
        take.nonce,
        take.generation,
      ])
      await client.query('commit')
      failed = false
      return rows[0]?.epoch
    } catch (error) {
      await client.query('rollback')
      failed = false
      if (codeOf(error) !== '55P03') throw error
      await endBlockers(client)
      return undefined
    }
  } finally {
    client.release(failed)
  }
}

/**
 * Draws a new epoch for a lane whose holder starts again: nothing that it sent before is written any more. Rejects with
 * `WAYBILL_STALE_HOLDER` when the lane is another's, and where the row can't be had in time.
 */
export async function renewLane(pool: pg.Pool, fence: LaneFence, lockTimeoutMs: number): Promise<string> {
  const { laneId, epoch, holder, nonce } = fence
  const row = await inTransaction(pool, async (client) => {
    await client.query(`set local lock_timeout = ${Math.round(lockTimeoutMs)}`)
    const { rows } = await client.query<{ epoch: string | null; here: boolean }>(renewSql, [
      laneId,
      epoch,
      holder,
      nonce,
    ])
    return rows[0]
  })
  if (row?.here !== true) throw await notSeen(pool, nonce)
  if (row.epoch === null) throw new WaybillError('WAYBILL_STALE_HOLDER', 'the lane was taken by another dispatcher')
  return row.epoch
}

// Sessions of dispatchers: a holder that was stopped inside its commit. An operator's (`waybill drop` by a filter) may take long,
// and is waited for.
async function endBlockers(client: pg.PoolClient): Promise<void> {
  await client.query(
    `select pg_terminate_backend(a.pid) from pg_stat_activity a join pg_locks l on l.pid = a.pid
      where l.relation = 'waybill.lanes'::regclass and l.mode in ('RowShareLock', 'RowExclusiveLock') and l.granted
        and a.pid <> pg_backend_pid() and a.application_name = 'waybill dispatcher' and a.usename = current_user
        and a.xact_start < clock_timestamp() - interval '2 s'`,
  )
}

export async function releaseLanes(
  db: Queryable,
  dispatcher: string,
  lanes: readonly Pick<SeenLane, 'id' | 'holder'>[],
): Promise<void> {
  if (lanes.length === 0) return
  await db.query(releaseSql, [lanes.map(({ id }) => id), dispatcher, lanes.map(({ holder }) => holder)])
  await db.query(`select pg_notify('waybill_lanes', '')`)
}

/** Strikes a dispatcher off. Its lanes must have been released. The others share them out as soon as they hear of it. */
export async function signOff(db: Queryable, dispatcher: string): Promise<void> {
  await db.query('delete from waybill.dispatchers where id = $1::uuid', [dispatcher])
  await db.query(`select pg_notify('waybill_lanes', '')`)
}

/**
 * Says that a dispatcher falls asleep: from now on publishers notify. Resolves to the transactions that were running
 * then: one that looked before and commits after wakes nobody, so poll until all of them have ended.
 */
export async function fallAsleep(db: Queryable): Promise<{ xmax: string }> {
  await db.query(`select nextval('waybill.asleep')`)
  const { rows } = await db.query<{ xmax: string }>('select pg_snapshot_xmax(pg_current_snapshot())::text as xmax')
  return { xmax: rows[0]?.xmax as string }
}

/**
 * Answers a notification: publishers stop notifying until somebody falls asleep after the ticket that it named. A ticket
 * of before a crash, which emptied both sequences, is none: nobody was asked for it, and it would silence those to come.
 */
export async function wakeUp(db: Queryable, ticket: string): Promise<void> {
  await db.query(
    `select setval('waybill.awake', $1::bigint, true) from waybill.awake w, waybill.asleep a
      where w.is_called and w.last_value < $1::bigint and $1::bigint <= a.last_value`,
    [ticket],
  )
}
