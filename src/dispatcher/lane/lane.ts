import type pg from 'pg'
import type { Adapter } from '../../adapters/contract.js'
import { Alarm } from '../../core/alarm.js'
import type { Clock } from '../../core/clock.js'
import type { DeliverySettings } from '../../core/delivery-settings.js'
import { WaybillError, messageOf } from '../../core/errors.js'
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
import { flawOf } from '../../outbox/message.js'
import { CommitBuffer } from './commit-buffer.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName, callHook } from '../hooks.js'
import { LaneCalls } from './lane-calls.js'
import { LaneCommits } from './lane-commits.js'
import { type DeliveryName, LaneParked, idOf } from './lane-parked.js'
import { LaneOutcomes } from './lane-outcomes.js'
import { LanePause, type Suspicion } from '../pause/lane-pause.js'
import type { PauseKind } from '../pause/culprit-search.js'
import type { PageStream } from '../page-stream.js'
import type { ParkedEntry } from './parked.js'
import { ReadyQueue } from './ready-queue.js'
import { type Entry, Window } from './window.js'

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

/** Bytes of payload read and not settled, at most (but for one page). */
const windowBytes = 32 * 1024 * 1024
/**
 * Bytes of payload in one call of the adapter, at most (but for one message): what it makes of them, as the parameters of a
 * statement or the body of a request, is in memory several times at once.
 */
const batchBytes = 4 * 1024 * 1024
/** Parked deliveries that a probe is chosen from, at most. */
const probedOf = 16
/** A lane that has suspects and nothing else to send waits so long for the next page before it pauses. */
const stallMs = 200
/** Windows that a paused lane reads in search of a message of another key. */
const lookout = 4

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
  readonly #kick = new Kick()
  readonly #alarm = new Alarm(() => this.#kick.kick())
  readonly #abort = new AbortController()
  #failure: Error | undefined
  #stopping = false
  #reading = false
  #reload = false
  /** What was sent last had failed before: new messages go next. */
  #newTurn = false
  /** Since when suspects are left and nothing else is. */
  #quietSince: number | undefined

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
      ...{ fence, pool, clock, start, fail },
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
          this.#parkSlow()
          this.#send()
        }
        if (this.#commits.progress) this.#pause.confirm()
        this.#commits.commit(this.halted || this.#stopping)
        if (this.#stopping && this.#calls.idle && this.#commits.idle) return
        this.#alarm.set(this.#nextTimer())
        await this.#kick.wait()
      }
    } finally {
      this.#alarm.clear()
      this.#abort.abort(new Error('the lane has ended'))
      while (!this.#calls.idle || this.#commits.busy) await this.#kick.wait(1000)
    }
  }

  // ── Reading ──

  #readPage(): void {
    const { settings, stream } = this.#o
    const full = this.#parked.size >= settings.maxParked
    this.#pause.limit(full, this.#parked.size)
    if (this.#reading || full || this.#isFull(this.#reach())) return
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

  // Messages read and not settled, at most. In a pause where all of them have failed, or wait behind one that has, it looks
  // further for one that tells whether the destination is down or the messages are at fault.
  #reach(): number {
    const { window } = this.#o.settings
    if (!this.#pause.active || this.#window.size < window) return window
    return this.#ready.hasCandidate((key) => this.#parked.holds(key)) ? window : window * lookout
  }

  #isFull(reach: number): boolean {
    return this.#ready.bytes >= windowBytes || this.#window.size >= reach
  }

  // No commit meanwhile: rows and memory are compared as of one moment.
  #readParked(): void {
    const { pool, name } = this.#o
    const started = this.#commits.exclude(async () => {
      const dropped = await loadDropped(pool, name.laneId)
      this.#parked.compare(await loadParked(pool, name.laneId), dropped)
      const now = this.#o.clock.monotonic()
      this.#pause.prune(now, ({ parked, message }) =>
        parked ? !this.#parked.has(parked) : this.#parked.isDropped(message),
      )
      for (const entry of this.#window.open()) if (this.#parked.isDropped(entry.message)) this.#outcomes.drop(entry)
      this.#commits.advance()
    })
    if (started) this.#reload = false
  }

  // ── Sending ──

  #send(): void {
    const now = this.#o.clock.monotonic()
    if (this.#commits.refused) return
    if (this.#pause.active) return this.#probe(now)
    if (!this.#sendOld(now)) return
    while (this.#calls.room > 0 && this.#ready.length > 0 && !this.#pause.active) {
      const batch = this.#nextBatch()
      if (batch.length > 0) this.#call(batch)
    }
    this.#lookForStall(now)
  }

  // Suspects wait for a verdict, and no message comes that could tell: from here on they are probed.
  #lookForStall(now: number): void {
    if (this.#pause.suspects === 0 || this.#ready.length > 0 || !this.#calls.idle) this.#quietSince = undefined
    else if (now - (this.#quietSince ??= now) >= stallMs) {
      this.#quietSince = undefined
      this.#pause.stall(now)
    }
  }

  #nextBatch(): Entry[] {
    const most = Math.min(this.#o.adapter.capabilities.maxBatch, this.#pause.batchLimit)
    const batch: Entry[] = []
    let bytes = 0
    while (batch.length < most && bytes < batchBytes) {
      const entry = this.#ready.shift()
      if (!entry) break
      if (this.#parked.holds(entry.message.key)) this.#outcomes.hold(entry)
      else if (this.#isSound(entry)) {
        batch.push(entry)
        bytes += entry.message.payload.length
      }
    }
    return batch
  }

  // A single message at a time while the lane is paused. Where nothing in reach could tell whether the destination is down,
  // each probe of a long pause writes down one message that holds the window's end, so that the lane reads on.
  #probe(now: number): void {
    if (this.#calls.room <= 0 || now < this.#pause.nextProbeAt) return
    const holds = (key: string | null): boolean => this.#parked.holds(key)
    const fresh = this.#ready.candidates(this.#o.settings.order === 'key', holds)
    // what is parked and due may be the only message left that tells
    const due = fresh.length > 0 ? [] : this.#parked.due(now, probedOf)
    for (const entry of due) this.#parked.touch(entry) // it stays due
    const probe = this.#pause.probe(now, fresh.length > 0 ? fresh : due)
    if (!probe) return
    if ('fresh' in probe) {
      const parked = due[probe.fresh]
      if (parked) {
        this.#pause.probed(parked)
        return this.#sendParked([parked])
      }
      const entry = fresh[probe.fresh] as Entry
      this.#ready.take(entry)
      if (!this.#isSound(entry)) return
      this.#pause.probed(entry.message)
      return this.#call([entry])
    }
    if (fresh.length === 0 && this.#pause.long && this.#isFull(this.#reach())) this.#passFirst()
    const suspicion = this.#pause.suspicion(probe.suspect)
    if (!suspicion || !this.#canSend(suspicion)) return // its row is being written
    this.#pause.probed(suspicion.message)
    this.#sendSuspect(suspicion, false)
  }

  // One that was found guilty, or may be, is sent by itself: what takes the connection along would make suspects of all
  // that is under way beside it. It takes turns with new messages where there is but one call at a time.
  #sendOld(now: number): boolean {
    const alone = this.#o.adapter.capabilities.maxBatch > 1
    if (!alone && !this.#calls.single) {
      for (let room = this.#calls.roomForRetries; room > 0; room--) {
        const suspicion = this.#pause.trial(now)
        if (!suspicion || !this.#canSend(suspicion)) break
        this.#sendSuspect(suspicion, false)
      }
      this.#sendParked(this.#parked.due(now, this.#calls.roomForRetries))
      return true
    }
    const suspicion = this.#pause.trial(now)
    const trial = suspicion && this.#canSend(suspicion) ? suspicion : undefined
    const due = this.#parked.due(now, this.#calls.single ? 1 : this.#calls.roomForRetries)
    const plain = this.#calls.single ? [] : due.filter(({ convicted }) => !convicted)
    const old = due.find((entry) => !plain.includes(entry))
    for (const entry of due) if (!plain.includes(entry)) this.#parked.touch(entry) // it stays due
    if ((trial ?? old) === undefined || (this.#newTurn && this.#ready.length > 0)) {
      this.#newTurn = false
      this.#sendParked(plain)
      return true
    }
    for (const entry of plain) this.#parked.touch(entry)
    if (!this.#calls.idle) return false // it waits for what is under way
    this.#newTurn = true
    if (trial) this.#sendSuspect(trial, alone)
    else if (old) this.#sendParked([old], alone)
    return false
  }

  #canSend({ parked }: Suspicion): boolean {
    return !parked || (!parked.sending && parked.dirty === 0 && parked.state !== 'dead' && this.#parked.has(parked))
  }

  #sendSuspect({ entry, parked, message }: Suspicion, alone: boolean): void {
    if (parked) return this.#sendParked([parked], alone)
    if (!entry) return this.#pause.forget(message)
    this.#call([entry], alone)
  }

  #sendParked(due: readonly ParkedEntry[], alone = false): void {
    if (due.length === 0) return
    const probing = this.#pause.active
    for (const entry of due) entry.sending = true
    const loading = this.#parked.load(due)
    ;(alone ? this.#calls.alone(loading) : this.#calls.preparing(loading))
      .then((entries) => {
        for (const entry of entries) {
          if (this.#stopping || this.#pause.active !== probing) this.#unsent(entry.parked)
          else if (this.#isSound(entry)) this.#call([entry], alone)
        }
        for (const each of due) if (!this.#parked.has(each) || each.state === 'dead') this.#pause.forget(each)
      })
      .catch((error: unknown) => this.fail(error))
      .finally(() => this.#kick.kick())
  }

  #unsent(parked: ParkedEntry | undefined): void {
    if (!parked) return
    parked.sending = false
    this.#pause.unsent(parked)
    this.#parked.touch(parked) // it left the count of what is due when it was taken out to be sent
  }

  // The window's end may be passed: by writing down what holds it, and cannot be sent.
  #passFirst(): void {
    const first = this.#window.first
    if (!first || this.#parked.size >= this.#o.settings.maxParked) return
    if (first.state === 'suspect') {
      const suspicion = this.#pause.suspicion(idOf(first.message))
      if (suspicion) this.#outcomes.setSuspectAside(suspicion)
    } else if (first.state === 'ready' && this.#parked.holds(first.message.key)) {
      this.#ready.take(first)
      this.#outcomes.hold(first)
    }
    this.#commits.advance()
  }

  /** No adapter is asked to send what nobody can have published. */
  #isSound(entry: Entry): boolean {
    const flaw = flawOf(entry.message)
    if (flaw !== undefined) this.#outcomes.malformed(entry, flaw)
    return flaw === undefined
  }

  #call(batch: Entry[], alone = false): void {
    if (!this.#o.leaseValid()) return this.fail(leaseExpired())
    this.#calls.begin(batch, alone)
  }

  // An answer that holds the window's end for too long is written down as in flight, and settled when it comes.
  // Where none gets through it is the destination that is slow: its time-outs will say so, and nothing is written. Written
  // down one by one, the window of a silent broker took a backlog of 4,000 along, key by key (23 s to recover, not 1).
  #parkSlow(): void {
    const first = this.#window.first
    const { clock, settings, adapter } = this.#o
    if (first?.state !== 'sending' || this.#pause.active || adapter.capabilities.transactional) return
    const { slowAfterMs } = settings
    if (clock.monotonic() - first.sentAt < slowAfterMs) return
    if (!this.#calls.othersGetThrough(first.sentAt, slowAfterMs / 2)) return
    this.#outcomes.setAside(first)
    this.#commits.advance()
  }

  #nextTimer(): number {
    const now = this.#o.clock.monotonic()
    let at = now + 1000 // the lease is looked at
    at = Math.min(at, this.#pause.active ? this.#pause.nextProbeAt : this.#parked.nextDue)
    const first = this.#window.first
    const slowAt = first?.state === 'sending' ? first.sentAt + this.#o.settings.slowAfterMs : now
    if (slowAt > now) at = Math.min(at, slowAt)
    if (this.#quietSince !== undefined) at = Math.min(at, this.#quietSince + stallMs)
    return Math.max(1, Math.min(at - now, this.#commits.waitMs))
  }
}

function leaseExpired(): WaybillError {
  return new WaybillError(
    'WAYBILL_LEASE_EXPIRED',
    'the lease could not be renewed in time: nothing may be sent before it is',
  )
}
