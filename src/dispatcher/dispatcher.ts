import { hostname } from 'node:os'
import type pg from 'pg'
import { v4 as uuid } from 'uuid'
import type { Clock } from '../core/clock.js'
import { WaybillError } from '../core/errors.js'
import { whenAborted } from '../core/when-aborted.js'
import { within } from '../core/within.js'
import { assertRowsSeen, explainRefused, hiddenRows, isHidden } from '../db/hidden-tables.js'
import { guardPool } from '../db/pool.js'
import { SessionWatch } from '../db/session-watch.js'
import { isConnectionError } from '../db/sqlstate.js'
import type { Deployed } from '../outbox/configuration-store.js'
import { type Beat, type DispatcherIdentity, beat, signOff } from '../outbox/dispatcher-store.js'
import { rebaseRestored } from '../outbox/rebase.js'
import { PostgresLogReader } from '../outbox/log-reader.js'
import { SharedPages } from '../outbox/shared-pages.js'
import type { MaintenanceSettings } from '../outbox/retention/index.js'
import { stageDue } from '../outbox/scheduled-store.js'
import { GenerationWatch } from './generation-watch.js'
import { Heartbeat } from './heartbeat.js'
import { HeldLanes } from './held-lanes.js'
import type { DispatcherHooks, DispatcherLogger, LaneName } from './hooks.js'
import type { ServedDestination } from './served-destination.js'
import { CommitGroup } from './lane/commit-group.js'
import type { LaneStatus } from './lane/lane.js'
import { Lease, LivenessWatch } from './lease.js'
import { Listener } from './listener.js'
import { Resharding } from './reshard.js'
import { SequenceWatch } from './sequence-watch.js'
import { Stager } from './stager.js'
import { Standby } from './standby.js'
import { Ticker, type TickerSettings, defaultTickerSettings } from './ticker.js'
import { Upkeep } from './upkeep.js'

export interface DispatcherOptions {
  readonly pool: pg.Pool
  /** For LISTEN; undefined: polling alone. */
  readonly listenUrl: string | undefined
  readonly name: string
  readonly version: string
  readonly generation: number
  /** Lease on lanes, milliseconds. Default 15,000. */
  readonly leaseMs: number
  /** Messages of a page, at most. Default 1,000. */
  readonly pageSize: number
  readonly destinations: readonly ServedDestination[]
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  readonly ticker?: TickerSettings
  /** `application_name` of a stand-by that must have flushed what is sent; undefined: what is on disk here is sent. */
  readonly standby?: string | undefined
  /**
   * Deploys the dispatcher's configuration again, as the newest one: where no dispatcher of the deployed configuration is
   * left, or a failover took the deployment back. Undefined: then it delivers nothing.
   */
  readonly redeploy?: (() => Promise<Deployed>) | undefined
  /** Whether its configuration is what is deployed as that generation. Undefined: a number that fits is enough. */
  readonly isOurs?: ((generation: number) => Promise<boolean>) | undefined
  /** Partitions, retention, counting: undefined leaves it to others. */
  readonly maintenance?: MaintenanceSettings | undefined
}

/** Share of a lease after which it is renewed. */
const beatShare = 0.45
/** How long after its lease somebody is looked for, ms. */
const lapsedMs = 5
/** Share of a lease for which a session may be silent before the server is asked about it. */
const silentShare = 1 / 3
/** How long the database may take for what ends a dispatcher, ms. */
const closeMs = 5000

/**
 * Holds leases on lanes and drains them. One heartbeat renews everything it holds and tells it all that it must know;
 * lanes run on their own and are started again from what is stored whenever they can't trust what they know.
 */
export class Dispatcher {
  readonly #o: DispatcherOptions
  #me: DispatcherIdentity
  readonly #ticker: Ticker
  readonly #lease: Lease
  readonly #watch: LivenessWatch
  readonly #sessions: SessionWatch
  readonly #listener: Listener | undefined
  readonly #stager: Stager
  readonly #upkeep: Upkeep | undefined
  readonly #resharding: Resharding
  readonly #lanes: HeldLanes
  readonly #heartbeat: Heartbeat
  readonly #generations: GenerationWatch
  readonly #sequence: SequenceWatch
  #nonce = ''
  #starting: Promise<void> | undefined
  #loop: Promise<void> | undefined
  #stop: Promise<void> | undefined
  readonly #drained = new AbortController()
  #stopping = false
  #over = false
  /** What is hidden, as it was logged. */
  #hidden: string | undefined
  /** The last heartbeat came back through the listener: notifications arrive. */
  #heard = false
  #last: Beat | undefined

  constructor(options: DispatcherOptions) {
    this.#o = options
    const { pool, clock, logger } = options
    this.#me = {
      id: uuid(),
      name: options.name,
      host: hostname(),
      pid: process.pid,
      version: options.version,
      generation: options.generation,
      leaseMs: options.leaseMs,
    }
    const settings = options.ticker ?? defaultTickerSettings
    const standby =
      options.standby === undefined ? undefined : new Standby({ pool, clock, logger, name: options.standby })
    this.#ticker = new Ticker(...([pool, clock, settings, () => this.#stager.look(), standby] as const), (deployed) =>
      this.#isDeployed(deployed),
    )
    this.#stager = new Stager({
      pool,
      clock,
      logger,
      asleep: () => this.#ticker.asleep,
      onStaged: () => this.#ticker.look(),
    })
    this.#resharding = new Resharding({ pool, ticker: this.#ticker, logger, onStep: () => this.#heartbeat.kick() })
    if (options.maintenance) {
      this.#upkeep = new Upkeep({ pool, clock, logger, ticker: this.#ticker, settings: options.maintenance })
    }
    this.#heartbeat = new Heartbeat({
      clock,
      // sooner where somebody may turn out to be gone then, whose lanes wait
      waitMs: () => Math.min(options.leaseMs * beatShare, this.#watch.untilLapse() + lapsedMs),
      beat: () => this.#beat(),
      onFailed: (error) => {
        this.#last = undefined
        if (isHidden(error) && this.#hidden === error.message) return
        this.#hidden = isHidden(error) ? error.message : undefined
        logger.error({ err: error }, 'heartbeat failed')
        if (isConnectionError(error)) this.#connectionLost()
      },
      stopping: () => this.#stopping,
    })
    this.#lease = new Lease(clock, options.leaseMs)
    this.#watch = new LivenessWatch(clock, options.leaseMs / 2)
    this.#generations = new GenerationWatch({
      ...{ clock, logger, redeploy: options.redeploy, isOurs: options.isOurs },
      patienceMs: 2 * options.leaseMs,
      isAlive: (id) => id === this.#me.id || this.#watch.isAlive(id),
    })
    this.#sequence = new SequenceWatch({
      ...{ pool, logger, ticker: this.#ticker },
      resetLanes: (reason) => this.#resetLanes('WAYBILL_SEQUENCE_BEHIND', reason),
    })
    this.#lanes = new HeldLanes({
      ...options,
      id: this.#me.id,
      destinations: new Map(options.destinations.map((d) => [d.name, d])),
      pages: new SharedPages(
        (nonce) => new PostgresLogReader(pool, nonce),
        () => this.#lanes.size,
      ),
      group: new CommitGroup(pool),
      ticker: this.#ticker,
      watch: this.#watch,
      leaseValid: this.#lease.valid,
      nonce: () => this.#nonce,
      generation: () => this.#me.generation,
      nextBeat: () => this.#heartbeat.next(),
      rests: (laneId) => this.#resharding.rests(laneId),
      stopping: () => this.#stopping,
    })
    if (options.listenUrl !== undefined) {
      this.#listener = new Listener(
        options.listenUrl,
        {
          wake: (ticket) => {
            if (!this.#ticker.asleep) this.#stager.look() // else when it wakes: the log comes first
            this.#ticker.notify(ticket)
          },
          lanes: () => this.#heartbeat.kick(),
          beat: (id) => {
            if (id !== this.#me.id) return
            this.#heard = true
            this.#ticker.setListening(true)
          },
          connected: () => this.#heartbeat.kick(),
          lost: () => {
            this.#heard = false
            this.#ticker.setListening(false)
          },
        },
        logger,
      )
    }
    guardPool(pool).on('error', this.#connectionLost)
    this.#sessions = new SessionWatch({
      pool,
      silentMs: options.leaseMs * silentShare,
      onSilent: (sessions) => {
        logger.warn({ sessions }, 'the network of sessions with the database fell silent: they are replaced')
        this.#connectionLost()
      },
    })
  }

  get id(): string {
    return this.#me.id
  }

  /** Lanes held now, and how they fare. */
  lanes(): { name: LaneName; status: LaneStatus | undefined }[] {
    return this.#lanes.statuses()
  }

  /** Whether the last heartbeat went through in time. */
  get healthy(): boolean {
    return this.#lease.valid()
  }

  get asleep(): boolean {
    return this.#ticker.asleep
  }

  /** How often scheduled messages could not be moved into the log. */
  get stagingFailures(): number {
    return this.#stager.failures
  }

  /** Takes its share of lanes and delivers. Safe to call twice; after a stop it does nothing. */
  start(): Promise<void> {
    this.#starting ??= this.#startOnce().catch((error: unknown) => {
      this.#starting = undefined
      throw error
    })
    return this.#starting
  }

  async #startOnce(): Promise<void> {
    if (this.#stopping) return
    await assertRowsSeen(this.#o.pool)
    this.#sessions.start()
    await this.#rebaseRestored()
    await this.#sequence.recover()
    await this.#beat()
    if (this.#stopping) return
    this.#ticker.start()
    this.#stager.start()
    this.#upkeep?.start()
    void this.#listener?.start()
    this.#loop = this.#heartbeat.run()
  }

  /**
   * Resolves when everything that was committed, or due, before the call is delivered, or parked, in the lanes that this dispatcher
   * holds, and no lane that it could serve is without a holder. Rejects when `signal` aborts, and with
   * `WAYBILL_DISPATCHER_STOPPED` when the dispatcher stops first.
   */
  async drain(signal?: AbortSignal): Promise<void> {
    await stageDue(this.#o.pool, this.#o.clock, signal)
    let tick = await this.#ticker.fresh()
    while (!signal?.aborted && !this.#over) {
      if (tick.nonce !== this.#nonce)
        tick = await this.#ticker.fresh() // of another server: it compares with nothing here
      else if (this.#last && this.#lanes.drainedBeyond(tick, this.#last)) return
      this.#ticker.look()
      await this.#o.clock.sleep(20, signal)
    }
    signal?.throwIfAborted()
    throw new WaybillError('WAYBILL_DISPATCHER_STOPPED', 'the dispatcher was stopped before everything was delivered')
  }

  /**
   * Two stages: nothing new is sent, and what is under way is waited for up to `drainMs` (default 10,000); then it is
   * aborted. Lanes are released; a database that does not answer is waited for 5 s more, and their leases end by
   * themselves. Safe to call twice, and before start: called again with a `drainMs` that ends sooner, it waits no longer
   * than that.
   */
  stop({ drainMs }: { drainMs?: number } = {}): Promise<void> {
    const first = this.#stop === undefined
    this.#stop ??= this.#stopInTime()
    if (first || drainMs !== undefined) {
      const { signal } = this.#drained
      void this.#o.clock.sleep(drainMs ?? 10_000, signal).then(() => this.#drained.abort())
    }
    return this.#stop
  }

  async #stopInTime(): Promise<void> {
    let closed = false
    const close = this.#stopOnce().then(() => (closed = true))
    await Promise.race([close, whenAborted(this.#drained.signal)])
    await within(closeMs, close)
    if (!closed)
      this.#o.logger.error({}, 'stopped without an answer of the database: others wait for the leases to end')
    this.#sessions.stop()
  }

  async #stopOnce(): Promise<void> {
    this.#stopping = true
    this.#heartbeat.kick()
    await this.#starting?.catch(() => undefined)
    const ended = this.#lanes.stop()
    await Promise.race([ended, whenAborted(this.#drained.signal)])
    this.#drained.abort()
    this.#lanes.abort(new Error('the dispatcher stops'))
    await ended
    this.#over = true
    this.#heartbeat.end()
    await this.#loop
    await this.#lanes.ended() // one that was being taken when the stop came
    await Promise.all([this.#listener?.stop(), this.#stager.stop(), this.#upkeep?.stop(), this.#resharding.stop()])
    await this.#ticker.stop()
    this.#o.pool.off('error', this.#connectionLost)
    if (this.#starting) await signOff(this.#o.pool, this.#me.id).catch(() => undefined)
  }

  async #beat(): Promise<void> {
    const { pool, logger } = this.#o
    if (this.#listener && this.#last && !this.#heard) {
      this.#ticker.setListening(false)
      this.#listener.expectHeard(this.#o.leaseMs)
    }
    this.#heard = false
    const known = this.#ticker.reached
    const renewed = this.#lease.renewing()
    // one that stops beats as generation 0: it keeps what it holds alive, and is not counted among those who share
    const me = this.#stopping ? { ...this.#me, generation: 0 } : this.#me
    const seen = await beat(pool, me).catch((error: unknown) => this.#refused(error))
    renewed()
    const hidden = await hiddenRows(pool)
    if (hidden) this.#hide(hidden)
    this.#shown()
    this.#last = seen
    // at once: the lease is valid again, and a lane may be another's by now
    this.#lanes.obey(seen)
    if (this.#nonce !== '' && this.#nonce !== seen.nonce) {
      logger.warn({}, 'the database crashed or was promoted: lanes start again from what is stored')
      this.#resetLanes('WAYBILL_STALE_INCARNATION', 'the database crashed or was promoted')
      await this.#rebaseRestored()
    }
    // before any lane may be read on this server
    if (!(await this.#generations.isConfirmed(seen, this.#me.generation))) this.#me = { ...this.#me, generation: 0 }
    this.#nonce = seen.nonce
    this.#watch.observe(seen.dispatchers)
    this.#heartbeat.wentThrough()
    if (!this.#stopping && !this.#isDeployed(seen.generation)) await this.#followDeployment(seen)
    await this.#resharding.look(seen.lanes)
    await this.#sequence.look(seen, known)
    if (this.#stopping) return
    await this.#lanes.share(seen)
    // where another configuration is deployed there is no tick for a barrier, and asking keeps the others from it
    if (seen.generation === this.#me.generation) this.#resharding.advance()
  }

  // What another configuration wants is not ours to pass over: lanes stop where they are, and are given back.
  #isDeployed(deployed: number): boolean {
    if (deployed === this.#me.generation) return true
    if (this.#lanes.giveWay() > 0) this.#heartbeat.kick()
    return false
  }

  async #followDeployment(seen: Beat): Promise<void> {
    const generation = await this.#generations.follow(seen, this.#me.generation)
    if (generation === undefined) return
    this.#me = { ...this.#me, generation }
    this.#heartbeat.kick()
  }

  async #refused(error: unknown): Promise<never> {
    const explained = await explainRefused(this.#o.pool, error)
    if (isHidden(explained)) this.#hide(explained)
    throw explained
  }

  // Some hosts switch row-level security on by themselves, while it runs. What is not shown must not be passed over: lanes
  // start again from what is stored when everything is shown.
  #hide(hidden: WaybillError): never {
    if (this.#hidden !== hidden.message) this.#resetLanes('WAYBILL_ROWS_HIDDEN', hidden.message)
    throw hidden
  }

  #shown(): void {
    if (this.#hidden === undefined) return
    this.#hidden = undefined
    this.#o.logger.info({}, 'all rows are shown again: lanes go on')
  }

  // Positions that came with a dump, or by logical replication, are another server's: nothing is read before they are put
  // in terms of this one.
  async #rebaseRestored(): Promise<void> {
    const rebased = await rebaseRestored(this.#o.pool)
    if (!rebased) return
    this.#ticker.reset()
    this.#o.logger.warn({ ...rebased }, 'the database was restored or switched over: lanes find their way from there')
  }

  // A session that is gone may have been the database: nothing that was read or planned on it is trusted.
  readonly #connectionLost = (): void => {
    this.#resetLanes('WAYBILL_STALE_INCARNATION', 'a connection to the database was lost')
    this.#heartbeat.kick()
  }

  #resetLanes(code: Parameters<HeldLanes['reset']>[0], reason: string): void {
    this.#ticker.reset()
    this.#lanes.reset(code, reason)
  }
}
