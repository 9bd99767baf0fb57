import type pg from 'pg'
import type { Adapter } from '../../adapters/contract.js'
import { Alarm } from '../../core/alarm.js'
import type { Clock } from '../../core/clock.js'
import type { DeliverySettings } from '../../core/delivery-settings.js'
import { messageOf } from '../../core/errors.js'
import { Kick } from '../../core/signal-flag.js'
import type { Tick } from '../../outbox/delta.js'
import {
  type LaneFence,
  type StoredDelivery,
  type StoredPosition,
  loadDropped,
  loadParked,
} from '../../outbox/lane-store.js'
import type { LogReader } from '../../outbox/log-reader.js'
import { CommitBuffer } from './commit-buffer.js'
import type { CommitGroup } from './commit-group.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from '../hooks.js'
import { LaneCalls } from './lane-calls.js'
import { LaneCommits } from './lane-commits.js'
import { type DeliveryName, LaneParked } from './lane-parked.js'
import { LaneOutcomes } from './lane-outcomes.js'
import { LaneSending, leaseExpired } from './lane-sending.js'
import { LanePause } from '../pause/lane-pause.js'
import type { PauseKind } from '../pause/culprit-search.js'
import type { PageStream } from '../page-stream.js'
import { ReadyQueue } from './ready-queue.js'
import { Window } from './window.js'

export interface LaneOptions {
  readonly name: LaneName
  readonly fence: LaneFence
  readonly start: StoredPosition
  readonly parked: readonly StoredDelivery[]
  /** Deliveries that operators dropped. */
  readonly dropped: readonly DeliveryName[]
  readonly pausedInDatabase: boolean
  readonly settings: DeliverySettings
  readonly adapter: Adapter
  readonly stream: PageStream
  readonly reader: LogReader
  readonly pool: pg.Pool
  /** The commits of all lanes of the dispatcher. */
  readonly group: CommitGroup
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  /** False when the lease may have ended, by the monotonic or the wall clock: nothing may be sent any more. */
  readonly leaseValid: () => boolean
}

export interface LaneStatus {
  readonly parked: number
  readonly dead: number
  readonly paused: PauseKind | 'refused' | 'parked_limit' | null
  /** Since the lane began. */
  readonly delivered: number
  /** Read and not settled. */
  readonly window: number
}

/**
 * One lane at work: reads pages, hands batches to the adapter, writes positions with what failed. It runs until it is
 * stopped, or until it can't trust what it knows (lease, epoch, incarnation, connection): then `run` rejects, and
 * whoever runs it starts again from what is stored.
 */
export class Lane {
  readonly #o: LaneOptions
  readonly #window = new Window()
  readonly #ready: ReadyQueue
  readonly #buffer = new CommitBuffer()
  readonly #parked: LaneParked
  readonly #pause: LanePause
  readonly #commits: LaneCommits
  readonly #outcomes: LaneOutcomes
  readonly #calls: LaneCalls
  readonly #sending: LaneSending
  readonly #kick = new Kick()
  readonly #alarm = new Alarm(() => this.#kick.kick())
  readonly #abort = new AbortController()
  #failure: Error | undefined
  #stopping = false
  #reading = false
  #reload = false

  constructor(options: LaneOptions) {
    this.#o = options
    const { name, fence, pool, clock, logger, hooks, settings, reader, start, adapter } = options
    const fail = (error: unknown): void => this.fail(error)
    const hook = (call: () => unknown): void => callHook(logger, name, call)
    this.#ready = new ReadyQueue(settings.order === 'key' && !adapter.capabilities.ordered)
    this.#parked = new LaneParked({ settings, clock, reader, buffer: this.#buffer }, options)
    this.#pause = new LanePause({
      ...{ name, fence, pool, clock, logger, hooks, hook },
      ...{ concurrency: adapter.capabilities.concurrency, maxBatch: adapter.capabilities.maxBatch },
      backoff: settings.probe,
      written: options.pausedInDatabase,
    })
    this.#commits = new LaneCommits({
      ...{ fence, pool, group: options.group, clock, start, fail },
      many: Math.ceil(settings.window / 4),
      buffer: this.#buffer,
      window: this.#window,
      onCommitted: ({ delivered, inStep }) => {
        if (!inStep) this.#reload = true
        if (delivered > 0) hook(() => hooks.onDelivered?.(name, delivered))
      },
      onEnd: () => this.#kick.kick(),
      onRefused: (reason) => {
        if (reason !== null) logger.error({ ...name, reason }, 'the database refuses what the lane commits')
        this.#pause.refused(reason)
      },
      signal: this.#abort.signal,
    })
    this.#outcomes = new LaneOutcomes({
      ...{ name, settings, clock, hooks, hook },
      ...{ ready: this.#ready, buffer: this.#buffer, parked: this.#parked, pause: this.#pause, commits: this.#commits },
    })
    this.#calls = new LaneCalls({
      ...{
        name,
        adapter,
        pool,
        clock,
        logger,
        outcomes: this.#outcomes,
        commits: this.#commits,
        pause: this.#pause,
        fail,
      },
      signal: this.#abort.signal,
      onEnd: () => this.#kick.kickSoon(),
    })
    this.#sending = new LaneSending({
      ...{ settings, adapter, clock, fail, leaseValid: options.leaseValid, kick: () => this.#kick.kick() },
      ...{ window: this.#window, ready: this.#ready, parked: this.#parked, pause: this.#pause },
      ...{ commits: this.#commits, outcomes: this.#outcomes, calls: this.#calls },
      stopping: () => this.#stopping,
    })
  }

  get name(): LaneName {
    return this.#o.name
  }

  /** Whether everything that `tick` sees has been read, and delivered or parked. */
  drainedBeyond(tick: Tick): boolean {
    return this.#window.size === 0 && this.#calls.idle && this.#commits.idle && this.#o.stream.hasRead(tick)
  }

  get status(): LaneStatus {
    return {
      parked: this.#parked.size,
      dead: this.#parked.dead,
      paused: this.#pause.kind,
      delivered: this.#commits.delivered,
      window: this.#window.size,
    }
  }

  /** First stage: nothing new is sent; what is under way is waited for and committed. */
  stop(): void {
    this.#stopping = true
    this.#kick.kick()
  }

  /** It gives way to other lanes: at the end of what it reads it stops by itself, with all of it settled and stored. */
  close(): void {
    this.#o.stream.close()
    this.#kick.kick()
  }

  /** It was closed, and has read to its end. */
  get halted(): boolean {
    return this.#o.stream.halted
  }

  /** Second stage: calls under way are aborted; what they had not settled counts as not delivered. */
  abort(reason: unknown = new Error('stopped')): void {
    this.#stopping = true
    this.#abort.abort(reason)
    this.#kick.kick()
  }

  /** What the lane knows can't be trusted any more: it ends, and `run` rejects with `error`. */
  fail(error: unknown): void {
    if (this.#abort.signal.aborted) return
    this.#failure ??= error instanceof Error ? error : new Error(messageOf(error), { cause: error })
    this.#abort.abort(error)
    this.#kick.kick()
  }

  /** An operator acted on parked deliveries: read them again. */
  reloadParked(): void {
    this.#reload = true
    this.#kick.kick()
  }

  async run(): Promise<void> {
    try {
      for (;;) {
        if (this.#failure) throw this.#failure
        if (!this.#o.leaseValid()) throw leaseExpired()
        this.#commits.advance()
        if (this.halted && this.#window.size === 0) this.#stopping = true
        if (!this.#stopping) {
          this.#readPage()
          if (this.#reload) this.#readParked()
          this.#sending.parkSlow()
          this.#sending.send()
        }
        if (this.#commits.progress) this.#pause.confirm()
        this.#commits.commit(this.halted || this.#stopping)
        if (this.#stopping && this.#calls.idle && this.#commits.idle) return
        this.#alarm.set(this.#nextTimer())
        await this.#kick.wait()
      }
    } finally {
      this.#alarm.clear()
      this.#commits.end()
      this.#abort.abort(new Error('the lane has ended'))
      while (!this.#calls.idle || this.#commits.busy) await this.#kick.wait(1000)
    }
  }

  // ── Reading ──

  #readPage(): void {
    const { settings, stream } = this.#o
    const full = this.#parked.size >= settings.maxParked
    this.#pause.limit(full, this.#parked.size)
    if (this.#reading || full || this.#sending.full) return
    this.#reading = true
    stream
      .next(this.#abort.signal)
      .then((page) => {
        for (const message of page.messages) {
          if (this.#parked.takes(message)) {
            this.#window.add(message, page.delta, 'settled')
            continue
          }
          this.#ready.add(this.#window.add(message, page.delta, 'ready'))
        }
        this.#window.endPage(page.delta, page.after)
      })
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#reading = false
        this.#kick.kick()
      })
  }

  // No commit meanwhile: rows and memory are compared as of one moment.
  #readParked(): void {
    const { pool, name, fence } = this.#o
    const started = this.#commits.exclude(async () => {
      const dropped = await loadDropped(pool, name.laneId, fence.nonce)
      this.#parked.compare(await loadParked(pool, name.laneId, fence.nonce), dropped)
      const now = this.#o.clock.monotonic()
      this.#pause.prune(now, ({ parked, message }) =>
        parked ? !this.#parked.has(parked) : this.#parked.isDropped(message),
      )
      for (const entry of this.#window.open()) if (this.#parked.isDropped(entry.message)) this.#outcomes.drop(entry)
      this.#commits.advance()
    })
    if (started) this.#reload = false
  }

  #nextTimer(): number {
    const now = this.#o.clock.monotonic()
    let at = now + 1000 // the lease is looked at
    at = Math.min(at, this.#pause.active ? this.#pause.nextProbeAt : this.#parked.nextDue)
    const first = this.#window.first
    const slowAt = first?.state === 'sending' ? first.sentAt + this.#o.settings.slowAfterMs : now
    if (slowAt > now) at = Math.min(at, slowAt)
    at = Math.min(at, this.#sending.stallAt)
    return Math.max(1, at - now)
  }
}
