import type { DispatcherHooks, LaneName } from '../dispatcher/hooks.js'

/** Why a lane stands still. */
export interface LanePause {
  readonly destination: string
  readonly shard: number
  readonly kind: string
  readonly reason: string
}

/** What a dispatcher has done since it started, counted by its own hooks. */
export class DispatchCounters {
  readonly delivered = new Map<string, number>()
  readonly retries = new Map<string, number>()
  readonly dead = new Map<string, number>()
  readonly restarts = new Map<string, number>()
  /** By destination and kind, joined by a space. */
  readonly pauses = new Map<string, number>()
  /** Lanes of this dispatcher that are paused now. */
  readonly paused = new Map<number, LanePause>()

  readonly hooks: DispatcherHooks = {
    onDelivered: ({ destination }, count) => increase(this.delivered, destination, count),
    onRetry: ({ destination }) => increase(this.retries, destination, 1),
    onDead: ({ destination }) => increase(this.dead, destination, 1),
    onPause: (lane, { kind, reason }) => {
      increase(this.pauses, `${lane.destination} ${kind}`, 1)
      this.paused.set(lane.laneId, { destination: lane.destination, shard: lane.shard, kind, reason })
    },
    onLaneRestart: ({ destination }) => increase(this.restarts, destination, 1),
    onResume: (lane) => void this.paused.delete(lane.laneId),
    onLaneLost: (lane: LaneName) => void this.paused.delete(lane.laneId),
  }

  get deliveredTotal(): number {
    return [...this.delivered.values()].reduce((sum, count) => sum + count, 0)
  }
}

function increase(counts: Map<string, number>, name: string, by: number): void {
  counts.set(name, (counts.get(name) ?? 0) + by)
}
