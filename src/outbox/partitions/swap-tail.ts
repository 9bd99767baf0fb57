import type pg from 'pg'
import { boundSql, partitionName, type PartitionInfo, type RangeTable } from './range-table.js'
import { PlanStale } from './lock-attempts.js'

/** From this bound to the next one, the last to MAXVALUE. */
export interface SwapPlan {
  readonly tail: PartitionInfo
  /** The tail stays as an ordinary range up to here; null: it is empty and goes. */
  readonly keepUpTo: number | null
  /** Bounds of the new ranges: n + 1 for n ranges. The new tail begins at the last. */
  readonly bounds: readonly number[]
}

/** On a tail that is to become a range: PostgreSQL believes it and attaches without reading the rows under its lock. */
export const tailConstraint = 'waybill_tail_upper'

/**
 * Replaces the tail by new ranges and a new tail, in the caller's transaction: there is no moment in which a row has no
 * partition to go to. (DETACH CONCURRENTLY would make one: from its first half on, which may wait behind a pg_dump for
 * hours, an insert beyond the last range fails. docs/decisions/2026-11-22-partition-tail.md)
 * New tables are made first: the parent's lock is held for the renames and attachments alone.
 */
export async function swapTail(client: pg.ClientBase, spec: RangeTable, plan: SwapPlan): Promise<void> {
  const parent = `waybill.${spec.table}`
  const ranges = plan.bounds.slice(0, -1).map((lower, i) => ({
    name: partitionName(spec, lower),
    lower,
    upper: plan.bounds[i + 1] ?? null,
  }))
  const nextTail = `${spec.table}_tail_next`
  for (const name of [...ranges.map((range) => range.name), nextTail]) {
    await client.query(
      `create table waybill.${name} (like ${parent} including defaults including constraints including indexes including storage)`,
    )
  }
  await client.query(`lock table only ${parent} in access exclusive mode`)
  await checkPlan(client, spec, plan)
  await client.query(`alter table ${parent} detach partition waybill.${plan.tail.name}`)
  if (plan.keepUpTo === null) await client.query(`drop table waybill.${plan.tail.name}`)
  else await keepTail(client, spec, plan.tail, plan.keepUpTo)
  for (const range of ranges) await attach(client, spec, range.name, range.lower, range.upper)
  await client.query(`alter table waybill.${nextTail} rename to ${spec.table}_tail`)
  await attach(client, spec, `${spec.table}_tail`, plan.bounds.at(-1) ?? null, null)
}

async function keepTail(client: pg.ClientBase, spec: RangeTable, tail: PartitionInfo, upper: number): Promise<void> {
  const name = partitionName(spec, tail.lower)
  await client.query(`alter table waybill.${tail.name} rename to ${name}`)
  await attach(client, spec, name, tail.lower, upper)
  await client.query(`alter table waybill.${name} drop constraint if exists ${tailConstraint}`)
}

async function attach(
  client: pg.ClientBase,
  spec: RangeTable,
  name: string,
  lower: number | null,
  upper: number | null,
): Promise<void> {
  await client.query(
    `alter table waybill.${spec.table} attach partition waybill.${name}
       for values from (${boundSql(spec, lower, 'minvalue')}) to (${boundSql(spec, upper, 'maxvalue')})`,
  )
}

/** Nothing moves any more: the lock is held. What was planned before it must still fit. */
async function checkPlan(client: pg.ClientBase, spec: RangeTable, plan: SwapPlan): Promise<void> {
  const tail = `waybill.${plan.tail.name}`
  // a table keeps its bounds for as long as it is attached; one that was swapped is another table
  const { rows } = await client.query<{ fits: boolean; last: string }>(
    `select exists (select from pg_inherits i where i.inhrelid = $1::regclass and i.inhparent = $2::regclass)
            and $1::regclass = $3::oid and ($4 or not exists (select from ${tail})) as fits,
            (select s.last_value from waybill.message_seq s)::text as last`,
    [tail, `waybill.${spec.table}`, plan.tail.oid, plan.keepUpTo !== null],
  )
  const late = spec.unit === 'seq' && plan.keepUpTo !== null && Number(rows[0]?.last) >= plan.keepUpTo
  if (rows[0]?.fits !== true || late) throw new PlanStale()
}
