import { systemClock, type Clock } from '../core/clock.js'
import { listLanes } from '../outbox/inspect/lane-list.js'
import { type DispatcherService } from './create-dispatcher.js'
import { type DispatchCounters, type LanePause } from './dispatch-counters.js'

/** What a run that ends by itself has done, and what it leaves, in all open lanes. */
export interface RunReport {
  /** Delivered by this run. */
  readonly delivered: number
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

const lookMs = 100
/** Looks without any progress after which lanes that are not paused count as done while another one is. */
const quietLooks = 10

/**
 * One pass: everything that was committed before the call is delivered or parked. A lane whose destination is down is
 * not waited for, once the others are done.
 */
export async function passOnce(run: Run): Promise<RunReport> {
  const done = new AbortController()
  const signal = AbortSignal.any([run.signal, done.signal])
  const drained = run.service.drain(signal).then(
    () => 'drained' as const,
    (error: unknown) => {
      if (signal.aborted) return 'stopped' as const
      throw error
    },
  )
  const outcome = await Promise.race([drained, untilOnlyPausedAreLeft(run, signal)])
  done.abort()
  return report(run, outcome !== 'stopped')
}

/**
 * Until nothing of what was committed before the last look is pending or will be tried again: all is delivered, dead,
 * or held behind what is dead. Waits for destinations that are down.
 */
export async function runUntilEmpty(run: Run): Promise<RunReport> {
  const { service, signal, clock = systemClock } = run
  try {
    for (;;) {
      await service.drain(signal)
      const { due, heldOnly } = await whatIsRetried(run)
      if (heldOnly) return await report(run, true)
      await clock.sleep(Math.min(Math.max(due, 50), 1000), signal)
      signal.throwIfAborted()
    }
  } catch (error) {
    if (!signal.aborted) throw error
    return report(run, false)
  }
}

/** Milliseconds until the next attempt, and whether there will be none. */
async function whatIsRetried({ service }: Run): Promise<{ due: number; heldOnly: boolean }> {
  const { rows } = await service.pool.query<{ n: number; due: number | null }>(
    `select count(*)::float8 as n, (extract(epoch from min(d.next_attempt_at) - clock_timestamp()) * 1000)::float8 as due
       from waybill.deliveries d
      where d.state in ('retrying', 'in_flight')
         or (d.state = 'held' and not exists (select from waybill.deliveries x
               where x.lane_id = d.lane_id and x.key = d.key and x.seq < d.seq and x.state = 'dead'))`,
  )
  const { n, due } = rows[0] ?? { n: 0, due: null }
  return { due: due ?? 0, heldOnly: n === 0 }
}

async function untilOnlyPausedAreLeft(
  { service, counters, clock = systemClock }: Run,
  signal: AbortSignal,
): Promise<'paused' | 'stopped'> {
  let quiet = 0
  let before = -1
  while (!signal.aborted) {
    await clock.sleep(lookMs, signal)
    const lanes = service.lanes()
    const working = lanes.filter(({ status }) => !status?.paused).some(({ status }) => status?.window !== 0)
    const standing = lanes.some(({ status }) => status?.paused)
    const delivered = counters.deliveredTotal
    quiet = standing && !working && delivered === before ? quiet + 1 : 0
    before = delivered
    if (quiet >= quietLooks) return 'paused'
  }
  return 'stopped'
}

async function report({ service, counters }: Run, ended: boolean): Promise<RunReport> {
  const lanes = (await listLanes(service.pool)).filter((lane) => lane.condition !== 'orphaned')
  const sum = (count: (lane: (typeof lanes)[number]) => number): number =>
    lanes.reduce((total, lane) => total + count(lane), 0)
  const paused = lanes
    .filter((lane) => lane.pauseKind !== null && !counters.paused.has(lane.laneId))
    .map(({ destination, shard, pauseKind, why }) => ({ destination, shard, kind: pauseKind ?? '', reason: why ?? '' }))
  return {
    delivered: counters.deliveredTotal,
    retrying: sum((lane) => lane.retrying + lane.inFlight),
    held: sum((lane) => lane.held),
    dead: sum((lane) => lane.dead),
    paused: [...counters.paused.values(), ...paused],
    ended,
  }
}
