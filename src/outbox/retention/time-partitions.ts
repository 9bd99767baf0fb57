import type pg from 'pg'
import { finalizePending } from '../partitions/finalize.js'
import { listRanges, type RangeTable } from '../partitions/range-table.js'
import { dropDetached, removePartition, type RemoveOptions } from './remove-partition.js'

/** Drops the days of attempts or receipts that are past retention. Gives the names of the tables that went. */
export async function dropTimePartitions(
  pool: pg.Pool,
  client: pg.ClientBase,
  spec: RangeTable,
  { retentionMs, ...options }: RemoveOptions & { readonly retentionMs: number },
): Promise<string[]> {
  await finalizePending(client, spec, options)
  const dropped = await dropDetached(client, spec, options)
  const ranges = await listRanges(client, spec)
  if (ranges.some((range) => range.detachPending)) return dropped
  const { rows } = await client.query<{ cutoff: number }>(
    `select (extract(epoch from now()) * 1000)::float8 - $1::float8 as cutoff`,
    [retentionMs],
  )
  const cutoff = rows[0]?.cutoff ?? 0
  for (const range of ranges) {
    if (range.upper === null || range.upper > cutoff || options.signal?.aborted === true) break
    if (!(await removePartition(pool, client, spec, range, options))) break
    dropped.push(range.name)
  }
  return dropped
}
