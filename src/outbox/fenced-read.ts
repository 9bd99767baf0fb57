import { WaybillError } from '../core/errors.js'
import { hiddenRows } from '../db/hidden-tables.js'
import type { Queryable } from './lane-store.js'

/**
 * Reads of a lane name the incarnation that it reads from. Their statements begin with its one row, so that they answer with a
 * row, of nulls, where nothing fits; no row at all says that this is another server (a stand-by that a pooler sent the
 * statement to can't even be asked: its unlogged tables can't be read), or the same after a crash, or that rows are hidden.
 * Nothing of such an answer may be believed, least of all that it is empty.
 */
export async function readFenced<R extends object>(
  db: Queryable,
  text: string,
  values: readonly unknown[],
  nonce: string,
): Promise<R[]> {
  const { rows } = await db.query<R>(text, [...values, nonce])
  if (rows.length === 0) throw await notSeen(db, nonce)
  return rows
}

/** Why a fenced read was given no row. */
export async function notSeen(db: Queryable, nonce: string | null): Promise<WaybillError> {
  const hidden = await hiddenRows(db)
  if (hidden) return hidden
  return new WaybillError(
    'WAYBILL_STALE_INCARNATION',
    `the database crashed or was promoted since incarnation ${nonce ?? 'none'}, or this statement went to another server`,
  )
}
