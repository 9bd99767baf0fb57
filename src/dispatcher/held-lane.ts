import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { WaybillError } from '../core/errors.js'
import { explainRefused, isHidden } from '../db/hidden-tables.js'
import { topicMatcher, topicPatternSource } from '../core/topic-pattern.js'
import { loadBarriersFenced } from '../outbox/barriers/barrier-store.js'
import { nextStretch } from '../outbox/barriers/course.js'
import { type SeenLane, releaseLanes, renewLane } from '../outbox/dispatcher-store.js'
import { type LaneFence, loadDropped, loadParked, loadPosition } from '../outbox/lane-store.js'
import { loadPlan } from '../outbox/position-store.js'
import { restLane } from '../outbox/reshard.js'
import type { SharedPages } from '../outbox/shared-pages.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from './hooks.js'
import type { CommitGroup } from './lane/commit-group.js'
import { Lane } from './lane/lane.js'
import { PageStream } from './page-stream.js'
import { RestartPace } from './pause/restart-pace.js'
import type { ServedDestination } from './served-destination.js'
import { StandbyPause } from './standby-pause.js'
import type { Ticker } from './ticker.js'

export interface HeldLaneOptions {
  readonly seen: SeenLane
  readonly holder: string
  readonly epoch: string
  readonly dispatcherId: string
  readonly destination: ServedDestination
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  /** Messages of a page, at most. */
  readonly pageSize: number
  readonly pages: SharedPages
  readonly group: CommitGroup
  readonly ticker: Ticker
  readonly leaseValid: () => boolean
  /** The database's incarnation, as of the latest heartbeat. */
  readonly nonce: () => string
  /** Resolves after the next heartbeat that went through, or when it is all over. */
  readonly nextBeat: () => Promise<void>
}

/** How long the row of a lane may be waited for: a commit of before may have it. */
const renewWithinMs = 2000

/** A lane that this dispatcher holds. It is started again from what is stored whenever it can't trust what it knows. */
export class HeldLane {
  readonly name: LaneName
  readonly holder: string
  readonly #o: HeldLaneOptions
  /** Each start after a failure has an epoch of its own. */
  #fence: Omit<LaneFence, 'nonce'>
  readonly #standby: StandbyPause
  readonly #restarts: RestartPace
  #lane: Lane | undefined
  #stopping = false
  /** Why it is another's now. */
  #lost: WaybillError | undefined
  #commands: number
  /** Where the lane stops it is opened again, for what lies behind. */
  #goesOn = false
  #ended: Promise<void> = Promise.resolve()

  constructor(options: HeldLaneOptions) {
    this.#o = options
    const { seen, holder, epoch, pool, logger, hooks } = options
    // hooks of the application get it
    this.name = Object.freeze({ laneId: seen.id, destination: seen.destination, shard: seen.shard })
    this.holder = holder
    this.#commands = seen.commands
    this.#fence = { laneId: seen.id, epoch, holder }
    const written = seen.state === 'paused'
    const fenced = { name: this.name, fence: () => this.#fence }
    this.#standby = new StandbyPause({ ...fenced, pool, logger, hooks, written })
    this.#restarts = new RestartPace({ ...options, ...fenced })
  }

  /** As it runs now; undefined before it has started. */
  get lane(): Lane | undefined {
    return this.#lane
  }

  /** Resolves when it was given back or is lost. */
  get ended(): Promise<void> {
    return this.#ended
  }

  /** Until it is given back or lost. */
  run(): Promise<void> {
    this.#ended = this.#serve()
    return this.#ended
  }

  /** What is under way is waited for; then it is given back. Gives false when it was stopped before. */
  stop(): boolean {
    if (this.#stopping) return false
    this.#stopping = true
    this.#restarts.stop()
    this.#lane?.stop()
    return true
  }

  /** It is another's now. */
  lose(reason: WaybillError): void {
    this.#lost = reason
    this.#stopping = true
    this.#restarts.stop()
    this.#lane?.fail(reason)
  }

  /** `commands`: the count of what operators did to its parked deliveries. */
  obey(commands: number): void {
    if (commands === this.#commands) return
    this.#commands = commands
    this.#lane?.reloadParked()
  }

  async #serve(): Promise<void> {
    const { pool, logger, ticker, nonce, nextBeat } = this.#o
    let failed = false
    while (!this.#stopping) {
      try {
        if (failed) {
          const epoch = await renewLane(pool, { ...this.#fence, nonce: nonce() }, renewWithinMs)
          this.#fence = { ...this.#fence, epoch }
        }
        failed = false
        const lane = await this.#open({ ...this.#fence, nonce: nonce() })
        this.#standby.goesOn('hidden')
        this.#lane = lane
        this.#restarts.started()
        if (this.#stopping) lane.stop()
        await lane.run()
        if (this.#stopping || !lane.halted) continue
        // at a barrier: what lies behind is treated as deployed
        if (this.#goesOn) continue
        if (await restLane(pool, this.#fence)) return
        await nextBeat()
      } catch (thrown) {
        const error = await explainRefused(pool, thrown)
        if (WaybillError.isInstance(error) && error.code === 'WAYBILL_STALE_HOLDER') {
          this.#lost = error
          break
        }
        if (isHidden(error)) this.#standby.waits(error.message, 'hidden')
        failed = true
        logger.error({ ...this.name, err: error }, 'lane starts again from what is stored')
        ticker.reset()
        await this.#restarts.wait(error)
        await nextBeat()
      }
    }
    await this.#giveBack()
  }

  async #giveBack(): Promise<void> {
    const { pool, logger, hooks, dispatcherId } = this.#o
    const { name } = this
    const lost = this.#lost
    if (lost) {
      logger.warn({ ...name, err: lost }, 'lane lost')
      callHook(logger, name, () => hooks.onLaneLost?.(name, lost.message))
      return
    }
    await releaseLanes(pool, dispatcherId, [{ id: this.name.laneId, holder: this.holder }]).catch((error: unknown) =>
      logger.warn({ ...name, err: error }, 'could not release the lane: others wait for its lease to end'),
    )
  }

  async #open(fence: LaneFence): Promise<Lane> {
    const { pool, group, clock, logger, hooks, pages, leaseValid, seen, destination } = this.#o
    const { adapter } = destination
    const { nonce } = fence
    const commands = this.#commands
    const reader = pages.reader(nonce)
    // before the position: a barrier is forgotten once lanes have passed it, so a later look could find none ahead of an older one
    const barriers = await loadBarriersFenced(pool, seen.destination, nonce)
    const start = await loadPosition(pool, seen.id, nonce)
    const plan = await loadPlan(pool, seen.id, start.delta.n, nonce)
    const { planned, stops, before } = nextStretch(start, plan.deltas, barriers)
    const { patterns, order, onDead } = before ?? { patterns: destination.patterns, ...destination.settings }
    const settings = { ...destination.settings, order, onDead }
    const parked = await loadParked(pool, seen.id, nonce)
    const dropped = await loadDropped(pool, seen.id, nonce)
    const pausedInDatabase = plan.paused
    const stream = this.#stream({ reader, nonce, start, planned }, patterns)
    if (plan.closing || stops) stream.close()
    this.#goesOn = stops
    const lane = new Lane({
      ...{ name: this.name, fence, start, parked, dropped, pausedInDatabase },
      ...{ settings, adapter, stream, reader, pool, group, clock, logger, hooks, leaseValid },
    })
    // what an operator did while it was read may be among it or not
    if (commands !== this.#commands) lane.reloadParked()
    return lane
  }

  #stream(
    from: Pick<ConstructorParameters<typeof PageStream>[0], 'reader' | 'nonce' | 'start' | 'planned'>,
    patterns: readonly string[],
  ): PageStream {
    const { seen, ticker, pageSize } = this.#o
    const { settings } = this.#o.destination
    const matches = topicMatcher(patterns)
    return new PageStream({
      ...from,
      ...{ ticker, pause: this.#standby, limit: Math.min(pageSize, settings.window) },
      filter: { topicRegex: patterns.map(topicPatternSource).join('|') || '^$', destination: seen.destination },
      matches: ({ destinations, topic }) => (destinations ? destinations.includes(seen.destination) : matches(topic)),
      share: { shard: seen.shard, shards: seen.shards },
    })
  }
}
