import { systemClock, type Clock } from '../core/clock.js'
import { codeOf } from '../core/errors.js'
import { type LaneReport, listLanes } from '../outbox/inspect/lane-list.js'
import { countRetried, PendingWatch } from '../outbox/inspect/pending.js'
import { stageDue } from '../outbox/scheduled-store.js'
import type { DispatcherService } from './create-dispatcher.js'
import type { DispatchCounters, LanePause } from './dispatch-counters.js'

/** What a run that ends by itself has done, and what it leaves, in all open lanes. */
export interface RunReport {
  /** Delivered by this run. */
  readonly delivered: number
  /** In flight ones included. */
  readonly retrying: number
  readonly held: number
  readonly dead: number
  /** Lanes that stood still at the end, and why. */
  readonly paused: readonly LanePause[]
  /** False: it was interrupted, or ran out of time. */
  readonly ended: boolean
}

/** Nothing is left: neither parked nor behind a lane that stands still. */
export function isClean({ ended, retrying, held, dead, paused }: RunReport): boolean {
  return ended && retrying + held + dead + paused.length === 0
}

interface Run {
  readonly service: DispatcherService
  readonly counters: DispatchCounters
  /** Ends the run early. */
  readonly signal: AbortSignal
  readonly clock?: Clock
}

const firstLookMs = 20
const longestLookMs = 500

/**
 * One pass: everything that was committed, or due, before the call is delivered or parked. A lane whose destination is down is
 * not waited for.
 */
export async function passOnce(run: Run): Promise<RunReport> {
  const ended = await settle(run, { waitForPaused: false })
  return report(run, ended)
}

/**
 * Until nothing of what was committed before the last look is pending or will be tried again: all is delivered, dead,
 * or held behind what is dead. Waits for destinations that are down.
 */
export async function runUntilEmpty(run: Run): Promise<RunReport> {
  const { service, signal, clock = systemClock } = run
  for (;;) {
    if (!(await settle(run, { waitForPaused: true }))) return report(run, false)
    const { n, due } = await countRetried(service.pool)
    if (n === 0) return report(run, true)
    await clock.sleep(Math.min(Math.max(due, firstLookMs), longestLookMs), signal)
  }
}

/** False: it was interrupted. */
async function settle(run: Run, { waitForPaused }: { readonly waitForPaused: boolean }): Promise<boolean> {
  const { service, signal, clock = systemClock } = run
  let watch: PendingWatch | undefined
  for (let wait = firstLookMs; !signal.aborted; wait = Math.min(wait * 1.5, longestLookMs)) {
    try {
      watch ??= await begin(run)
      const pending = await watch.lanes()
      if (pending.length === 0) return true
      const lanes = await listLanes(service.pool)
      const listed = new Set(lanes.map((lane) => lane.laneId))
      // one that is closed by now has left what was pending to lanes of another number of shards
      const closed = pending.some((laneId) => !listed.has(laneId))
      const open = lanes.filter((lane) => pending.includes(lane.laneId) && goesOn(lane))
      const moving = open.filter((lane) => waitForPaused || !stands(lane, run))
      if (moving.length === 0 && !closed) return true
    } catch (error) {
      if (signal.aborted) return false
      if (codeOf(error) !== 'WAYBILL_STALE_INCARNATION') throw error
      watch = undefined // the server crashed or was promoted: of what is committed there
    }
    await clock.sleep(wait, signal)
  }
  return false
}

/** Watches what is committed now, and what is due now: the dispatcher moves that into the log while it runs. */
async function begin({ service, signal, clock = systemClock }: Run): Promise<PendingWatch> {
  await stageDue(service.pool, clock, signal)
  return PendingWatch.start(service.pool)
}

/** A lane without a dispatcher will be taken; one whose destination is gone from the configuration will not. */
function goesOn(lane: LaneReport): boolean {
  return lane.condition !== 'orphaned'
}

/** Of one's own lanes memory knows: what is stored may stem from an earlier run, until the first delivery gets through. */
function stands(lane: LaneReport, { service, counters }: Run): boolean {
  return counters.paused.has(lane.laneId) || (lane.condition === 'paused' && lane.dispatcherId !== service.id)
}

async function report(run: Run, ended: boolean): Promise<RunReport> {
  const { service, counters } = run
  const lanes = (await listLanes(service.pool)).filter(goesOn)
  const sum = (count: (lane: LaneReport) => number): number => lanes.reduce((total, lane) => total + count(lane), 0)
  const paused = lanes
    .filter((lane) => stands(lane, run))
    .map(
      ({ laneId, destination, shard, pauseKind, why }): LanePause =>
        counters.paused.get(laneId) ?? { destination, shard, kind: pauseKind ?? '', reason: why ?? '' },
    )
  return {
    delivered: counters.deliveredTotal,
    retrying: sum((lane) => lane.retrying + lane.inFlight),
    held: sum((lane) => lane.held),
    dead: sum((lane) => lane.dead),
    paused,
    ended,
  }
}
