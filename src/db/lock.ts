import type pg from 'pg'

/** What one session at a time does in a database; waybill.locks has a row for each, and for what functions do. */
export type LockName = 'partitions' | 'sequence' | 'rebase'

/**
 * Waits for the row's lock (`lock_timeout` bounds it) and holds it to the end of the transaction. A row and not an advisory
 * lock: that one any login may take and keep. Draws an xid.
 */
export async function takeLock(client: pg.ClientBase, name: LockName): Promise<void> {
  const { rowCount } = await client.query('select from waybill.locks k where k.name = $1 for update', [name])
  if (rowCount === 0)
    throw new TypeError(`waybill.locks has no row "${name}"; put it back: insert into waybill.locks values ('${name}')`)
}
