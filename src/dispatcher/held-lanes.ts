import type pg from 'pg'
import { v4 as uuid } from 'uuid'
import type { Clock } from '../core/clock.js'
import { WaybillError } from '../core/errors.js'
import type { Tick } from '../outbox/delta.js'
import { type Beat, type SeenLane, acquireLane, releaseLanes } from '../outbox/dispatcher-store.js'
import type { SharedPages } from '../outbox/shared-pages.js'
import { HeldLane } from './held-lane.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from './hooks.js'
import type { CommitGroup } from './lane/commit-group.js'
import type { LaneStatus } from './lane/lane.js'
import type { LivenessWatch } from './lease.js'
import type { ServedDestination } from './served-destination.js'
import { planShare } from './share.js'
import type { Ticker } from './ticker.js'

export interface HeldLanesOptions {
  /** Of the dispatcher. */
  readonly id: string
  readonly destinations: ReadonlyMap<string, ServedDestination>
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  readonly leaseMs: number
  /** Messages of a page, at most. */
  readonly pageSize: number
  readonly pages: SharedPages
  readonly group: CommitGroup
  readonly ticker: Ticker
  readonly leaseValid: () => boolean
  readonly watch: LivenessWatch
  /** The database's incarnation, as of the latest heartbeat. */
  readonly nonce: () => string
  /** Of the configuration that they are served by. */
  readonly generation: () => number
  /** Resolves after the next heartbeat that went through, or when it is all over. */
  readonly nextBeat: () => Promise<void>
  /** Whether a lane is left alone for now, as its destination gets other shards. */
  readonly rests: (laneId: number) => boolean
  /** From then on none is taken. */
  readonly stopping: () => boolean
}

/** The lanes that a dispatcher holds. It takes its share of them, and gives back what is more. */
export class HeldLanes {
  readonly #o: HeldLanesOptions
  readonly #held = new Map<number, HeldLane>()

  constructor(options: HeldLanesOptions) {
    this.#o = options
  }

  get size(): number {
    return this.#held.size
  }

  statuses(): { name: LaneName; status: LaneStatus | undefined }[] {
    return [...this.#held.values()].map(({ name, lane }) => ({ name, status: lane?.status }))
  }

  /** Whether each delivered or parked what was committed before `tick`, and no lane that could be served has no holder. */
  drainedBeyond(tick: Tick, seen: Beat): boolean {
    const all = seen.lanes
      .filter((lane) => this.#canServe(lane))
      .every((lane) => this.#held.has(lane.id) || this.#othersHold(lane))
    return all && [...this.#held.values()].every(({ lane }) => lane?.drainedBeyond(tick))
  }

  /** What the heartbeat has seen of the lanes that are held: another's now, to be closed, or changed by an operator. */
  obey({ lanes }: Beat): void {
    const stored = new Map(lanes.map((lane) => [lane.id, lane]))
    for (const held of this.#held.values()) {
      const lane = stored.get(held.name.laneId)
      if (lane?.holder !== held.holder) {
        held.lose(new WaybillError('WAYBILL_STALE_HOLDER', 'the lane was taken by another dispatcher'))
        continue
      }
      if (lane.state === 'closing') held.lane?.close()
      held.obey(lane.commands)
    }
  }

  /** Takes and gives back, so that each of the dispatchers that are alive has its share. */
  async share(seen: Beat): Promise<void> {
    const { id: me, pool, watch, rests } = this.#o
    const alive = seen.dispatchers.filter(({ id }) => id === me || watch.isAlive(id))
    const { take, giveBack, release } = planShare({
      lanes: seen.lanes,
      dispatchers: alive.filter((d) => d.generation === seen.generation).map((d) => d.id),
      me,
      isAlive: (id) => watch.isAlive(id),
      isNew: (id) => watch.isNew(id),
      serves: (lane) => this.#held.has(lane.id),
      canServe: (lane) => this.#canServe(lane),
      rests: (lane) => rests(lane.id),
    })
    for (const lane of giveBack) this.#held.get(lane.id)?.stop()
    await releaseLanes(pool, me, release)
    // all at once: a row that somebody blocks must not hold up the next heartbeat for each lane anew
    const taken = await Promise.allSettled(take.filter(({ id }) => !this.#held.has(id)).map((lane) => this.#take(lane)))
    for (const each of taken) if (each.status === 'rejected') throw each.reason
  }

  /**
   * Another configuration is deployed: nothing new is sent, and all are given back once what was under way has ended. Gives
   * how many were not on their way back already.
   */
  giveWay(): number {
    return [...this.#held.values()].filter((held) => held.stop()).length
  }

  /** They start again from what is stored. */
  reset(code: 'WAYBILL_STALE_INCARNATION' | 'WAYBILL_SEQUENCE_BEHIND' | 'WAYBILL_ROWS_HIDDEN', reason: string): void {
    for (const { lane } of this.#held.values()) lane?.fail(new WaybillError(code, reason))
  }

  /** Nothing new is sent; resolves when what was under way has ended, and the lanes are given back. */
  async stop(): Promise<void> {
    for (const held of this.#held.values()) held.stop()
    await this.ended()
  }

  /** What is under way is given up. */
  abort(reason: Error): void {
    for (const { lane } of this.#held.values()) lane?.abort(reason)
  }

  /** Resolves when all that are held now were given back or are lost. */
  async ended(): Promise<void> {
    await Promise.all([...this.#held.values()].map((held) => held.ended))
  }

  #canServe(lane: SeenLane): boolean {
    return this.#o.destinations.has(lane.destination)
  }

  #othersHold({ dispatcher }: SeenLane): boolean {
    return dispatcher !== null && dispatcher !== this.#o.id && this.#o.watch.isAlive(dispatcher)
  }

  async #take(lane: SeenLane): Promise<void> {
    const { id, pool, logger, hooks, leaseMs, destinations, nonce, generation, stopping } = this.#o
    if (stopping()) return
    const holder = uuid()
    const mine = { holder, dispatcher: id, nonce: nonce(), generation: generation() }
    const epoch = await acquireLane(pool, lane, mine, Math.min(2000, leaseMs / 3))
    if (epoch === undefined) return
    const held = new HeldLane({
      ...this.#o,
      ...{ seen: lane, holder, epoch, dispatcherId: id },
      destination: destinations.get(lane.destination) as ServedDestination,
    })
    logger.info({ ...held.name, epoch }, 'lane acquired')
    if (stopping()) held.stop()
    this.#held.set(lane.id, held)
    callHook(logger, held.name, () => hooks.onLaneAcquired?.(held.name))
    void held.run().finally(() => this.#held.delete(lane.id))
  }
}
