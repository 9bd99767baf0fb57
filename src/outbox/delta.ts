import { emptySnapshot, isVisibleIn, parseSnapshot, wholeSnapshot } from './snapshot.js'
import { WaybillError } from '../core/errors.js'

/** What a reader knows of one moment of the log. See `tick.ts` for how it is taken. */
export interface Tick {
  /** `pg_snapshot` as text. */
  readonly snapshot: string
  /** Every transaction that starts to write after `snapshot` gets seqs above it. */
  readonly floor: number
  /** The greatest seq that `snapshot` can see, or more. */
  readonly ceiling: number
}

/** A transaction that was running in a snapshot, and the seq above which all that it wrote lies. */
export interface Running {
  readonly xid: string
  readonly floor: number
}

/**
 * What became visible between two ticks: in `to`, not in `from`. Read in seq order: first the stragglers (transactions
 * that ran in `from`, seq ≤ `from.floor`), then what is above the floor.
 */
export interface Delta {
  readonly n: number
  readonly from: { readonly snapshot: string; readonly floor: number; readonly running: readonly Running[] }
  readonly to: Tick
  /** The configuration under whose routes and order it is read. */
  readonly generation: number
}

/** Where a lane stands that has drained a delta. An xid that was running before keeps its floor; a new one has that of the tick before. */
export function standingAfter(drained: Delta): Delta['from'] {
  const known = new Map(drained.from.running.map((r) => [r.xid, r.floor]))
  const { snapshot, floor } = drained.to
  const running = parseSnapshot(snapshot).running.map((xid) => ({ xid, floor: known.get(xid) ?? drained.from.floor }))
  return { snapshot, floor, running }
}

/** The delta that follows a drained one. `generation`: the configuration that it is read under. */
export function followingDelta(drained: Delta, to: Tick, generation = drained.generation): Delta {
  if (parseSnapshot(to.snapshot).xmax < parseSnapshot(drained.to.snapshot).xmax) {
    throw new WaybillError(
      'WAYBILL_STALE_INCARNATION',
      `the database's transaction ids went back (${drained.to.snapshot} is stored, ${to.snapshot} is now): it was restored from a dump or failed over to a stand-by that lagged`,
    )
  }
  return { n: drained.n + 1, from: standingAfter(drained), to, generation }
}

/** The delta of a lane that starts at `tick`: nothing before it is read. It is drained from the start. */
export function startingAt(tick: Tick): Delta {
  const running = parseSnapshot(tick.snapshot).running.map((xid) => ({ xid, floor: 0 }))
  return { n: 0, from: { snapshot: tick.snapshot, floor: tick.floor, running }, to: tick, generation: 0 }
}

/** The delta of a lane that reads everything above `floor`, up to `tick`. */
export function everythingAbove(floor: number, tick: Tick): Delta {
  return { n: 0, from: { snapshot: emptySnapshot, floor, running: [] }, to: tick, generation: 0 }
}

/** A tick that sees everything up to `seq`, whoever wrote it. For `to` of a delta that has a planned one behind it. */
export function whole(seq: number): Tick {
  return { snapshot: wholeSnapshot, floor: seq, ceiling: seq }
}

/**
 * For a part of the log whose messages may carry xids of another server: everything above `floor`, whoever wrote it, and
 * then on from `tick`. What was running in `tick` is a straggler: it comes when it has committed, perhaps a second time.
 */
export function readAgainUpTo(tick: Tick, floor: number, n: number): [Delta, Delta] {
  return [everythingBetween(floor, tick.ceiling, n), { ...startingAt(tick), n: n + 1 }]
}

/** Everything above `floor` up to `ceiling`, whoever wrote it. */
export function everythingBetween(floor: number, ceiling: number, n: number): Delta {
  return { ...everythingAbove(floor, whole(ceiling)), n }
}

/** The stragglers worth a look: those that have ended in `to`, and whose floor leaves room above `after`. */
export function endedStragglers(delta: Delta, after: number): Running[] {
  if (delta.from.running.length === 0 || after >= delta.from.floor) return []
  const to = parseSnapshot(delta.to.snapshot)
  return delta.from.running.filter((r) => r.floor < delta.from.floor && isVisibleIn(r.xid, to))
}

/** Where the reading of a delta starts: below its lowest straggler, or the lowest of those that are asked for. */
export function lowest({ from }: Delta, running: readonly Running[] = from.running): number {
  return running.reduce((low, { floor }) => Math.min(low, floor), from.floor)
}
