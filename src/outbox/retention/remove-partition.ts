import type pg from 'pg'
import type { Clock } from '../../core/clock.js'
import { detachConcurrently } from '../partitions/detach.js'
import { attemptUnderLock, type LockOptions } from '../partitions/lock-attempts.js'
import { listRanges, type RangeTable } from '../partitions/range-table.js'

export interface RemoveOptions extends LockOptions {
  readonly clock?: Clock
}

/**
 * Detaches a range and drops it. It is written down first that this was decided, so that whatever a crash, or somebody's
 * old snapshot, leaves in between is taken up by `dropDetached`. False when it is out of sight but not yet dropped.
 */
export async function removePartition(
  pool: pg.Pool,
  client: pg.ClientBase,
  spec: RangeTable,
  range: { readonly name: string; readonly upper: number | null },
  options: RemoveOptions,
): Promise<boolean> {
  await client.query(
    `insert into waybill.partition_marks (partition, upper, dropping) values ($1, $2, true)
     on conflict (partition) do update set dropping = true`,
    [range.name, range.upper],
  )
  if (!(await detachConcurrently(pool, client, spec, range.name, options))) return false
  return (await dropDetached(client, spec, options)).includes(range.name)
}

/** Drops the tables that were detached to be dropped. Gives the names of those that are gone. */
export async function dropDetached(client: pg.ClientBase, spec: RangeTable, options: LockOptions): Promise<string[]> {
  const attached = new Set((await listRanges(client, spec)).map((range) => range.name))
  const { rows } = await client.query<{ partition: string }>(
    `select partition from waybill.partition_marks where dropping and starts_with(partition, $1) order by upper`,
    [`${spec.table}_p`],
  )
  const gone: string[] = []
  for (const { partition } of rows) {
    if (attached.has(partition)) continue
    const dropped = await attemptUnderLock(client, spec, { ...options, yieldToHolders: false }, async () => {
      await client.query(`drop table if exists waybill.${client.escapeIdentifier(partition)}`)
      await client.query('delete from waybill.partition_marks where partition = $1', [partition])
    })
    if ('done' in dropped) gone.push(partition)
  }
  return gone
}
