import type pg from 'pg'
import { loadSql } from '../../db/sql.js'
import { inTransaction } from '../../db/transaction.js'
import { type DeliveryFilter, filterValues } from './delivery-list.js'

const removeSql = loadSql(import.meta.url, './destination_remove.sql')

/** Who acts and why; kept in waybill.audit. */
export interface Act {
  /** On whose behalf. The database's user is written down in any case. */
  readonly actor?: string | undefined
  readonly reason?: string | undefined
}

/** Retries parked deliveries now, dead ones too; their attempts start again from nothing. Gives how many. */
export async function retryDeliveries(pool: pg.Pool, filter: DeliveryFilter, act: Act): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(
    `select waybill.retry($1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text,
                          coalesce($7::text, session_user), $8::text) as n`,
    [...filterValues(filter), act.actor ?? null, act.reason ?? null],
  )
  return rows[0]?.n ?? 0
}

/**
 * Gives deliveries up: they are never sent, and what they held back goes on. Those that are parked and fit; of a message that
 * is named alone, or with a destination, also those that lanes have not passed yet. Gives how many.
 */
export async function dropDeliveries(
  pool: pg.Pool,
  filter: DeliveryFilter,
  act: Act & { readonly reason: string },
): Promise<number> {
  const { rows } = await pool.query<{ n: number }>(
    `select waybill.drop_deliveries($8::text, $1::uuid, $2::text, $3::text, $4::text, $5::text, $6::text,
                                    coalesce($7::text, session_user)) as n`,
    [...filterValues(filter), act.actor ?? null, act.reason],
  )
  return rows[0]?.n ?? 0
}

export interface RemovedDestination {
  readonly lanes: number
  /** Parked deliveries that were dropped with it. */
  readonly dropped: number
}

/**
 * Ends a destination: its parked deliveries are dropped (an attempt of outcome `dropped` tells of each), its lanes and
 * where they stood are gone, and what lay before them is never sent. Attempts and receipts stay. A dispatcher that
 * holds one of its lanes loses it. Undefined when there is no such destination.
 * @throws the database's 55P03 when a lane was locked for more than five seconds
 */
export async function removeDestination(
  pool: pg.Pool,
  name: string,
  { actor, reason }: Act,
): Promise<RemovedDestination | undefined> {
  return inTransaction(pool, async (client) => {
    await client.query(`set local lock_timeout = '5s'`)
    // lanes before deliveries, as a lane's own commits take them
    const lanes = await client.query<{ id: number }>(
      `select l.id from waybill.lanes l where l.destination = $1::text order by l.id for update`,
      [name],
    )
    const dropped = await client.query<{ n: number }>(
      `select waybill.drop_deliveries($2::text, p_destination => $1::text, p_actor => coalesce($3::text, session_user)) as n`,
      [name, reason ?? 'its destination was removed', actor ?? null],
    )
    const removed = await client.query(removeSql, [name])
    if (removed.rowCount === 0) return undefined
    const report = { lanes: lanes.rows.length, dropped: dropped.rows[0]?.n ?? 0 }
    await client.query(
      `insert into waybill.audit (on_behalf_of, action, target, reason)
       values (nullif($1::text, session_user), 'remove_destination', $2::jsonb, $3::text)`,
      [actor ?? null, JSON.stringify({ destination: name, ...report }), reason ?? null],
    )
    // holders look at their lanes again, and find them gone
    await client.query(`select pg_notify('waybill_lanes', '')`)
    return report
  })
}
