import type pg from 'pg'
import { attemptUnderLock, type Busy, type LockOptions } from './lock-attempts.js'
import { boundSql, listRanges, type RangeTable } from './range-table.js'

/**
 * Brings to its end what a DETACH CONCURRENTLY left half done when it was cancelled or its process died: until then the
 * range can neither be dropped nor made again. It waits for transactions with older snapshots, and makes nobody wait.
 */
export async function finalizePending(
  client: pg.ClientBase,
  spec: RangeTable,
  options: LockOptions,
): Promise<Busy | undefined> {
  const pending = (await listRanges(client, spec)).filter((range) => range.detachPending)
  for (const { name } of pending) {
    const finished = await attemptUnderLock(client, spec, { ...options, yieldToHolders: false }, async () => {
      await client.query(`alter table waybill.${spec.table} detach partition waybill.${name} finalize`)
    })
    if ('busy' in finished) return finished
  }
  return undefined
}

/** When somebody detached the tail by hand: attaches it again, or a new one, so that an insert never fails. */
export async function restoreTail(
  client: pg.ClientBase,
  spec: RangeTable,
  options: LockOptions,
): Promise<Busy | undefined> {
  const last = (await listRanges(client, spec)).at(-1)
  // a pending tail still holds its bounds
  if (last === undefined || last.upper === null || last.detachPending) return undefined
  const tail = `waybill.${spec.table}_tail`
  const restored = await attemptUnderLock(client, spec, { ...options, yieldToHolders: false }, async () => {
    await client.query(
      `create table if not exists ${tail} (like waybill.${spec.table} including defaults including constraints including indexes including storage)`,
    )
    await client.query(
      `alter table waybill.${spec.table} attach partition ${tail} for values from (${boundSql(spec, last.upper, 'minvalue')}) to (maxvalue)`,
    )
  })
  return 'busy' in restored ? restored : undefined
}
