import type pg from 'pg'
import { attemptUnderLock, type Busy, type LockOptions } from './lock-attempts.js'
import { boundSql, type PartitionInfo, type RangeTable } from './range-table.js'
import { tailConstraint } from './swap-tail.js'

/** Attaching reads the whole table while publishers wait, unless a constraint says what is in it: up to here it may. */
const readUnderLockBytes = 16 * 1024 * 1024

export function isLarge(tail: PartitionInfo): boolean {
  return tail.bytes > readUnderLockBytes
}

/**
 * Makes a tail with rows ready to become a range that ends at `upper`: for a large one, with a constraint that is
 * validated while rows go on coming in. Until the swap, rows from `upper` on would be refused, so `upper` must lie far
 * ahead; `releaseTail` takes the constraint away when the swap does not go through.
 */
export async function prepareTail(
  client: pg.ClientBase,
  spec: RangeTable,
  tail: PartitionInfo,
  upper: number,
  options: LockOptions,
): Promise<Busy | undefined> {
  if (!isLarge(tail)) return undefined
  const { column } = spec
  const low = tail.lower === null ? '' : ` and ${column} >= ${boundSql(spec, tail.lower, 'minvalue')}`
  const condition = `${column} is not null${low} and ${column} < ${boundSql(spec, upper, 'maxvalue')}`
  const added = await attemptUnderLock(client, spec, options, async () => {
    await client.query(`alter table waybill.${tail.name} drop constraint if exists ${tailConstraint}`)
    await client.query(
      `alter table waybill.${tail.name} add constraint ${tailConstraint} check (${condition}) not valid`,
    )
  })
  if ('busy' in added) return added
  await client.query(`alter table waybill.${tail.name} validate constraint ${tailConstraint}`)
  return undefined
}

/** Takes away what `prepareTail`, or a process that died in between, left on the tail. */
export async function releaseTail(
  client: pg.ClientBase,
  spec: RangeTable,
  tail: PartitionInfo,
  options: LockOptions,
): Promise<Busy | undefined> {
  const { rowCount } = await client.query('select from pg_constraint where conrelid = $1::regclass and conname = $2', [
    `waybill.${tail.name}`,
    tailConstraint,
  ])
  if (rowCount === 0) return undefined
  const released = await attemptUnderLock(client, spec, options, async () => {
    await client.query(`alter table waybill.${tail.name} drop constraint if exists ${tailConstraint}`)
  })
  return 'busy' in released ? released : undefined
}
