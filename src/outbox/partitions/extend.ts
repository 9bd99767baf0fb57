import type pg from 'pg'
import { attemptUnderLock, type LockOptions } from './lock-attempts.js'
import { finalizePending, restoreTail } from './finalize.js'
import { isLarge, prepareTail, releaseTail } from './prepare-tail.js'
import { listRanges, messagesTable, type PartitionInfo, type RangeTable } from './range-table.js'
import { swapTail, type SwapPlan } from './swap-tail.js'
import { measureTip, rangeWidth, type Tip } from './width.js'

export interface ExtendOptions extends LockOptions {
  /** Empty ranges to keep between the tip and the tail. Default 3. */
  readonly ahead?: number
  /** Seqs of a day, which decide how wide new ranges are. Default: measured. */
  readonly rowsPerDay?: number
}

export interface ExtendReport {
  /** Ranges that were made, lowest first. Empty when there were enough. */
  readonly made: readonly { readonly lower: number; readonly upper: number }[]
  /** The tail had rows, and was made a range of its own. */
  readonly tailKept: boolean
  /** Who stood in the way, when nothing could be made for that. The tail takes what comes; the next pass tries again. */
  readonly busy: readonly string[] | null
}

const nothingToDo: ExtendReport = { made: [], tailKept: false, busy: null }
/** A constraint on a large tail refuses rows beyond its bound until the swap: at 20,000 a second this is 16 minutes. */
const farAhead = 20_000_000
const dayMs = 86_400_000

/**
 * Keeps empty ranges of the log ahead of the tip. Never makes publishers or readers wait longer than `lockTimeoutMs`;
 * there is always a partition for whatever is inserted. The user must own the tables.
 */
export async function extendPartitions(client: pg.ClientBase, options: ExtendOptions = {}): Promise<ExtendReport> {
  const tip = await measureTip(client)
  return extend(client, messagesTable, options, (ranges, tail) => planByTip(ranges, tail, tip, options))
}

/** The same for attempts and receipts: a range for each day (UTC), `ahead` days beyond today. */
export async function extendTimePartitions(
  client: pg.ClientBase,
  spec: RangeTable,
  options: ExtendOptions = {},
): Promise<ExtendReport> {
  const { rows } = await client.query<{ now: string }>(
    'select (extract(epoch from clock_timestamp()) * 1000)::bigint::text as now',
  )
  const now = Number(rows[0]?.now)
  return extend(client, spec, options, (_ranges, tail) => planByDay(tail, now, options.ahead ?? 3))
}

type Planner = (ranges: readonly PartitionInfo[], tail: PartitionInfo) => SwapPlan | undefined

async function extend(
  client: pg.ClientBase,
  spec: RangeTable,
  options: LockOptions,
  planner: Planner,
): Promise<ExtendReport> {
  await finalizePending(client, spec, options)
  await restoreTail(client, spec, options)
  const ranges = await listRanges(client, spec)
  const tail = ranges.at(-1)
  const plan = tail === undefined ? undefined : planner(ranges, tail)
  if (plan === undefined || tail === undefined) {
    if (tail !== undefined) await releaseTail(client, spec, tail, options)
    return nothingToDo
  }
  const waiting = plan.keepUpTo === null ? undefined : await prepareTail(client, spec, tail, plan.keepUpTo, options)
  const swapped = waiting ?? (await attemptUnderLock(client, spec, options, () => swapTail(client, spec, plan)))
  if ('busy' in swapped) {
    await releaseTail(client, spec, tail, options)
    return { ...nothingToDo, busy: swapped.busy }
  }
  const made = plan.bounds.slice(0, -1).map((lower, i) => ({ lower, upper: plan.bounds[i + 1] ?? lower }))
  return { made, tailKept: plan.keepUpTo !== null, busy: null }
}

/** By what the sequence has reached, not by rows: seqs of transactions that run or rolled back count too. */
export function planByTip(
  ranges: readonly PartitionInfo[],
  tail: PartitionInfo,
  tip: Tip,
  { ahead = 3, rowsPerDay }: ExtendOptions,
): SwapPlan | undefined {
  const width = rangeWidth(rowsPerDay ?? tip.perDay)
  const lower = tail.lower ?? 1
  if (tip.seq < lower && tail.empty) {
    const spare = ranges.filter((range) => range !== tail && range.lower !== null && range.lower > tip.seq).length
    return spare >= ahead ? undefined : { tail, keepUpTo: null, bounds: steps(lower, width, ahead - spare) }
  }
  const reach = isLarge(tail) ? Math.max(farAhead, 10 * width) : width
  const upper = lower + Math.ceil((Math.max(tip.seq, lower) + reach - lower) / width) * width
  return { tail, keepUpTo: upper, bounds: steps(upper, width, ahead) }
}

/** A range for each day up to `ahead` days from now. A tail that has begun keeps what is in it, to the end of tomorrow. */
export function planByDay(tail: PartitionInfo, now: number, ahead: number): SwapPlan | undefined {
  const today = now - (now % dayMs)
  const end = today + (ahead + 1) * dayMs
  if (tail.lower === null || tail.lower <= today || !tail.empty) {
    const upper = today + 2 * dayMs
    return { tail, keepUpTo: upper, bounds: steps(upper, dayMs, Math.max(0, ahead - 1)) }
  }
  return tail.lower >= end
    ? undefined
    : { tail, keepUpTo: null, bounds: steps(tail.lower, dayMs, (end - tail.lower) / dayMs) }
}

function steps(from: number, width: number, count: number): number[] {
  return Array.from({ length: count + 1 }, (_, i) => from + i * width)
}
