import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { WaybillError } from '../core/errors.js'
import { shardOf } from '../core/shard.js'
import { topicMatcher, topicPatternSource } from '../core/topic-pattern.js'
import { type SeenLane, releaseLanes } from '../outbox/dispatcher-store.js'
import { type LaneFence, isPaused, loadDropped, loadParked, loadPosition } from '../outbox/lane-store.js'
import type { LogReader } from '../outbox/log-reader.js'
import { loadPlan } from '../outbox/position-store.js'
import { restLane } from '../outbox/reshard.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from './hooks.js'
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
  readonly reader: LogReader
  readonly ticker: Ticker
  readonly leaseValid: () => boolean
  /** The database's incarnation, as of the latest heartbeat. */
  readonly nonce: () => string
  /** Resolves after the next heartbeat that went through, or when it is all over. */
  readonly nextBeat: () => Promise<void>
}

/** A lane that this dispatcher holds. It is started again from what is stored whenever it can't trust what it knows. */
export class HeldLane {
  readonly name: LaneName
  readonly holder: string
  readonly #o: HeldLaneOptions
  readonly #fence: Omit<LaneFence, 'nonce'>
  readonly #standby: StandbyPause
  readonly #restarts: RestartPace
  #lane: Lane | undefined
  #stopping = false
  /** Why it is another's now. */
  #lost: WaybillError | undefined
  #commands: number
  #ended: Promise<void> = Promise.resolve()

  constructor(options: HeldLaneOptions) {
    this.#o = options
    const { seen, holder, epoch, pool, logger, hooks } = options
    this.name = { laneId: seen.id, destination: seen.destination, shard: seen.shard }
    this.holder = holder
    this.#commands = seen.commands
    this.#fence = { laneId: seen.id, epoch, holder }
    const written = seen.state === 'paused'
    this.#standby = new StandbyPause({ name: this.name, fence: this.#fence, pool, logger, hooks, written })
    this.#restarts = new RestartPace({ ...options, name: this.name, fence: this.#fence })
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

  /** What is under way is waited for; then it is given back. */
  stop(): void {
    if (this.#stopping) return
    this.#stopping = true
    this.#restarts.stop()
    this.#lane?.stop()
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
    while (!this.#stopping) {
      try {
        const lane = await this.#open({ ...this.#fence, nonce: nonce() })
        this.#lane = lane
        this.#restarts.started()
        if (this.#stopping) lane.stop()
        await lane.run()
        if (this.#stopping || !lane.halted) continue
        if (await restLane(pool, this.#fence)) return
        await nextBeat()
      } catch (error) {
        if (WaybillError.isInstance(error) && error.code === 'WAYBILL_STALE_HOLDER') {
          this.#lost = error
          break
        }
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
    const { pool, clock, logger, hooks, reader, leaseValid, seen } = this.#o
    const { settings, adapter } = this.#o.destination
    const start = await loadPosition(pool, seen.id)
    const plan = await loadPlan(pool, seen.id, start.delta.n)
    const parked = await loadParked(pool, seen.id)
    const dropped = await loadDropped(pool, seen.id)
    const pausedInDatabase = await isPaused(pool, seen.id)
    const stream = this.#stream({ start, planned: plan.deltas })
    if (plan.closing) stream.close()
    return new Lane({
      ...{ name: this.name, fence, start, parked, dropped, pausedInDatabase },
      ...{ settings, adapter, stream, reader, pool, clock, logger, hooks, leaseValid },
    })
  }

  #stream(from: Pick<ConstructorParameters<typeof PageStream>[0], 'start' | 'planned'>): PageStream {
    const { seen, reader, ticker, pageSize } = this.#o
    const { patterns, settings } = this.#o.destination
    const matches = topicMatcher(patterns)
    return new PageStream({
      ...from,
      ...{ reader, ticker, pause: this.#standby, limit: Math.min(pageSize, settings.window) },
      filter: { topicRegex: patterns.map(topicPatternSource).join('|') || '^$', destination: seen.destination },
      wants: ({ destinations, topic, key, id }) => {
        const wanted = destinations ? destinations.includes(seen.destination) : matches(topic)
        return wanted && shardOf(key, id, seen.shards) === seen.shard
      },
    })
  }
}
