import type pg from 'pg'
import { type Adapter, type DeliveryFailure, type Outcome, isTransactional } from '../adapters/contract.js'
import { backoffDelay } from '../core/backoff.js'
import { type Clock } from '../core/clock.js'
import { type DeliverySettings } from '../core/delivery-settings.js'
import { WaybillError, messageOf } from '../core/errors.js'
import { Kick } from '../core/signal-flag.js'
import { inTransaction } from '../db/transaction.js'
import {
  type LaneFence,
  type Queryable,
  type StoredDelivery,
  type StoredPosition,
  commitLane,
  loadParked,
  writePause,
} from '../outbox/lane-store.js'
import { type Tick } from '../outbox/delta.js'
import { type LogReader } from '../outbox/log-reader.js'
import { CommitBuffer } from './commit-buffer.js'
import { type DispatcherHooks, type DispatcherLogger, type LaneName } from './hooks.js'
import { Outage, type PauseKind, type Probe } from './outage.js'
import { type PageStream } from './page-stream.js'
import { type ParkedEntry, ParkedSet } from './parked.js'
import { ReadyQueue } from './ready-queue.js'
import { type Entry, type LowWater, Window, retryEntry } from './window.js'

export interface LaneOptions {
  readonly name: LaneName
  readonly fence: LaneFence
  readonly start: StoredPosition
  readonly parked: readonly StoredDelivery[]
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

/** Bytes of payload read and not settled, at most (but for one page). */
const windowBytes = 32 * 1024 * 1024
/** A cursor that moved past unwanted messages only is stored this often. */
const quietCommitMs = 60_000
/** An attempt that was put back without an outcome is not made again sooner. */
const putBackMs = 250

/**
 * One lane at work: reads pages, hands batches to the adapter, writes positions with what failed. It runs until it is
 * stopped, or until it can't trust what it knows (lease, epoch, incarnation, connection): then `run` rejects, and
 * whoever runs it starts again from what is stored.
 */
export class Lane {
  readonly #o: LaneOptions
  readonly #window = new Window()
  readonly #ready: ReadyQueue
  readonly #parked: ParkedSet
  readonly #buffer = new CommitBuffer()
  readonly #kick = new Kick()
  readonly #abort = new AbortController()
  readonly #maxCalls: number
  readonly #parkedByKey = new Map<string, ParkedEntry>()
  #failure: unknown
  #stopping = false
  #reading = false
  #committing = false
  #reload = false
  #calls = 0
  #parkedCalls = 0
  #bytes = 0
  #position: StoredPosition
  #mark: LowWater | undefined
  #progress = false
  #delivered: number
  #committedAt: number
  #outage:
    { state: Outage; suspect: Entry; since: number; probing: { entry: Entry; which: Probe } | undefined } | undefined
  #pauseWritten: boolean
  #full = false

  constructor(options: LaneOptions) {
    this.#o = options
    const { capabilities } = options.adapter
    const { settings, clock } = options
    this.#ready = new ReadyQueue(settings.order === 'key' && !capabilities.ordered)
    this.#parked = new ParkedSet(settings)
    this.#maxCalls = capabilities.ordered || capabilities.transactional ? 1 : capabilities.concurrency
    this.#position = options.start
    this.#delivered = options.start.delivered
    this.#committedAt = clock.monotonic()
    this.#pauseWritten = options.pausedInDatabase
    for (const row of options.parked) this.#adopt(row)
  }

  get name(): LaneName {
    return this.#o.name
  }

  /** Whether everything that `tick` sees has been read, and delivered or parked. */
  drainedBeyond(tick: Tick): boolean {
    const idle = this.#window.size === 0 && this.#calls === 0 && this.#buffer.empty && !this.#committing
    return idle && this.#o.stream.hasRead(tick)
  }

  get status(): {
    parked: number
    dead: number
    paused: PauseKind | 'parked_limit' | null
    delivered: number
    window: number
  } {
    return {
      parked: this.#parked.size,
      dead: this.#parked.count('dead'),
      paused: this.#outage?.state.kind ?? (this.#full ? 'parked_limit' : null),
      delivered: this.#delivered,
      window: this.#window.size,
    }
  }

  /** First stage: nothing new is sent; what is under way is waited for and committed. */
  stop(): void {
    this.#stopping = true
    this.#kick.kick()
  }

  /** Second stage: calls under way are aborted; what they had not settled counts as not delivered. */
  abort(reason: unknown = new Error('stopped')): void {
    this.#stopping = true
    this.#abort.abort(reason)
    this.#kick.kick()
  }

  /** An operator acted on parked deliveries: read them again. */
  reloadParked(): void {
    this.#reload = true
    this.#kick.kick()
  }

  async run(): Promise<void> {
    const { leaseValid } = this.#o
    try {
      for (;;) {
        if (this.#failure !== undefined) throw this.#failure
        if (!leaseValid()) throw leaseExpired()
        const mark = this.#window.advance()
        if (mark) this.#mark = mark
        if (!this.#stopping) {
          this.#readPage()
          if (this.#reload && !this.#committing) this.#readParked()
          this.#parkSlow()
          this.#send()
        }
        this.#commit()
        if (this.#stopping && this.#calls === 0 && !this.#committing && this.#buffer.empty) return
        await this.#kick.wait(this.#nextTimer())
      }
    } finally {
      this.#abort.abort(new Error('the lane has ended'))
      while (this.#calls > 0 || this.#committing) await this.#kick.wait(1000)
    }
  }

  // ── Reading ──

  #readPage(): void {
    const { settings, stream } = this.#o
    const full = this.#parked.size >= settings.maxParked
    if (full !== this.#full) {
      this.#full = full
      if (full)
        this.#writePause(
          'parked_limit',
          `${this.#parked.size} parked deliveries: retry or drop them, or raise maxParked`,
        )
      else this.#writePause(null)
    }
    if (this.#reading || full || this.#window.size >= settings.window || this.#bytes >= windowBytes) return
    this.#reading = true
    stream
      .next(this.#abort.signal)
      .then((page) => {
        for (const message of page.messages) {
          const entry = this.#window.add(message, page.delta, 'ready')
          this.#bytes += message.payload.length
          this.#ready.add(entry)
        }
        this.#window.endPage(page.delta, page.after)
      })
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#reading = false
        this.#kick.kick()
      })
  }

  #readParked(): void {
    this.#reload = false
    this.#committing = true // no commit meanwhile: rows and memory are compared as of one moment
    loadParked(this.#o.pool, this.#o.name.laneId, this.#o.settings.maxParked * 2)
      .then((rows) => this.#compareParked(rows))
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#committing = false
        this.#kick.kick()
      })
  }

  #compareParked(rows: readonly StoredDelivery[]): void {
    const stored = new Map(rows.map((row) => [deliveryKey(row), row]))
    for (const [id, entry] of [...this.#parkedByKey]) {
      if (entry.sending || entry.dirty > 0) continue
      const row = stored.get(id)
      if (!row) {
        this.#forget(entry)
        continue
      }
      if (row.attempt === entry.attempt && row.state === entry.state) continue
      const revived = entry.state === 'dead' && row.state !== 'dead'
      if (revived) this.#forget(entry)
      entry.attempt = row.attempt
      entry.state = row.state
      entry.convicted = false
      entry.dueAt = this.#o.clock.monotonic() + row.dueInMs
      if (revived) this.#remember(entry)
      else this.#parked.touch(entry)
    }
    for (const [id, row] of stored) if (!this.#parkedByKey.has(id)) this.#adopt(row)
  }

  #adopt(row: StoredDelivery): void {
    this.#remember({
      seq: row.seq,
      id: row.id,
      topic: row.topic,
      key: row.key,
      state: row.state,
      attempt: row.attempt,
      dueAt: this.#o.clock.monotonic() + (row.state === 'retrying' ? row.dueInMs : 0),
      sending: false,
      dirty: 0,
      convicted: false,
      message: undefined,
    })
  }

  #remember(entry: ParkedEntry): void {
    this.#parkedByKey.set(deliveryKey(entry), entry)
    this.#parked.add(entry)
  }

  #forget(entry: ParkedEntry): void {
    this.#parkedByKey.delete(deliveryKey(entry))
    this.#parked.remove(entry)
  }

  // ── Sending ──

  #send(): void {
    const now = this.#o.clock.monotonic()
    if (this.#outage) {
      this.#probe(now)
      return
    }
    this.#sendParked(now)
    const { maxBatch } = this.#o.adapter.capabilities
    while (this.#calls < this.#maxCalls && this.#ready.length > 0 && !this.#outage) {
      const batch: Entry[] = []
      for (let entry = this.#ready.shift(); entry; entry = batch.length < maxBatch ? this.#ready.shift() : undefined) {
        if (this.#mustHold(entry)) this.#hold(entry)
        else batch.push(entry)
      }
      if (batch.length > 0) this.#call(batch)
    }
  }

  #mustHold(entry: Entry): boolean {
    return this.#o.settings.order === 'key' && this.#parked.holds(entry.message.key)
  }

  // Its key is held back by a parked message: it is parked behind it, and the cursor may pass.
  #hold(entry: Entry): void {
    const parked = this.#park(entry, 'held', 0, this.#o.clock.monotonic())
    this.#buffer.park(parked, null)
    this.#settled(entry)
  }

  #sendParked(now: number): void {
    const room = Math.min(Math.ceil(this.#maxCalls / 2) - this.#parkedCalls, this.#maxCalls - this.#calls)
    const due = this.#parked.due(now, room)
    if (due.length === 0) return
    for (const entry of due) entry.sending = true
    void this.#withMessages(due).then((entries) => {
      for (const entry of entries) {
        if (this.#stopping || this.#outage) this.#unsent(entry)
        else this.#call([entry])
      }
      this.#kick.kick()
    })
  }

  #unsent({ parked }: Entry): void {
    if (!parked) return
    parked.sending = false
    this.#parked.touch(parked) // it left the count of what is due when it was taken out to be sent
  }

  async #withMessages(parked: readonly ParkedEntry[]): Promise<Entry[]> {
    const missing = parked.filter((p) => !p.message)
    this.#calls++ // keeps the lane from ending meanwhile
    try {
      const messages = new Map((await this.#o.reader.load(missing.map((p) => p.seq))).map((m) => [deliveryKey(m), m]))
      for (const p of missing) p.message = messages.get(deliveryKey(p))
    } catch (error) {
      this.fail(error)
      return []
    } finally {
      this.#calls--
    }
    const entries: Entry[] = []
    for (const p of parked) {
      if (p.message) {
        p.message.attempt = p.attempt + 1
        entries.push(retryEntry(p.message, p))
      } else {
        this.#expired(p)
      }
    }
    return entries
  }

  #expired(parked: ParkedEntry): void {
    const failure = { code: 'EXPIRED', message: 'the message is past retention: its payload is no longer in the log' }
    parked.sending = false
    parked.state = 'dead'
    this.#parked.touch(parked)
    this.#buffer.update(parked, parked.attempt, null, failure)
  }

  #call(batch: Entry[]): void {
    const { adapter, clock, logger, name } = this.#o
    if (!this.#o.leaseValid()) {
      this.fail(leaseExpired())
      return
    }
    const now = clock.monotonic()
    let settled = 0
    for (const entry of batch) {
      entry.state = 'sending'
      entry.sentAt = now
    }
    const retried = batch.filter((entry) => entry.parked).length
    this.#calls++
    this.#parkedCalls += retried
    const settle = (index: number, outcome: Outcome): void => {
      const entry = batch[index]
      if (!entry || entry.state !== 'sending') return
      settled++
      this.#outcome(entry, outcome)
    }
    const work = isTransactional(adapter)
      ? this.#callInTransaction(batch, settle)
      : adapter.deliver(
          batch.map((entry) => entry.message),
          { signal: this.#abort.signal, settle },
        )
    work
      .catch((error: unknown) => {
        if (isTransactional(adapter)) this.fail(error)
        else if (!this.#abort.signal.aborted) logger.error({ ...name, err: error }, 'adapter failed')
      })
      .finally(() => {
        this.#calls--
        this.#parkedCalls -= retried
        const left = batch.filter((entry) => entry.state === 'sending')
        if (left.length > 0 && !this.#abort.signal.aborted && this.#failure === undefined)
          this.#unanswered(left, settled > 0)
        this.#kick.kick()
      })
  }

  // Exactly once: what the adapter writes, the position and the parked rows are one transaction. Memory runs ahead of
  // the commit; when the commit fails the lane ends and memory with it.
  async #callInTransaction(batch: Entry[], settle: (index: number, outcome: Outcome) => void): Promise<void> {
    const { adapter, pool } = this.#o
    if (!isTransactional(adapter)) throw new TypeError('not a transactional adapter')
    while (this.#committing) await new Promise((resolve) => setTimeout(resolve, 1))
    this.#committing = true
    try {
      const done = await inTransaction(pool, async (tx) => {
        const outcomes = await adapter.deliverIn(
          { query: (text, values) => tx.query(text, values as unknown[]) },
          batch.map((entry) => entry.message),
        )
        outcomes.forEach((outcome, index) => settle(index, outcome))
        const mark = this.#window.advance()
        if (mark) this.#mark = mark
        return this.#write(tx)
      })
      done()
    } finally {
      this.#committing = false
    }
  }

  // A call ended without an answer for these: not delivered, uncharged.
  #unanswered(left: Entry[], progress: boolean): void {
    for (const entry of left) this.#putBack(entry)
    const first = left[0]
    if (first && !progress && !this.#outage) {
      this.#pause('outage', first, { code: 'UNANSWERED', message: 'the adapter gave no answer' })
    }
  }

  #putBack(entry: Entry): void {
    const { parked } = entry
    if (!parked) {
      this.#ready.putBack([entry])
      return
    }
    parked.sending = false
    parked.dueAt = this.#o.clock.monotonic() + putBackMs
    if (parked.state === 'in_flight') {
      parked.state = 'retrying'
      this.#buffer.update(parked, parked.attempt, putBackMs)
    }
    entry.state = 'settled'
    this.#parked.touch(parked)
  }

  // ── Outcomes ──

  #outcome(entry: Entry, outcome: Outcome): void {
    const probe = this.#outage?.probing?.entry === entry ? this.#outage.probing.which : undefined
    if (probe && this.#outage) this.#outage.probing = undefined
    const now = this.#o.clock.monotonic()
    switch (outcome.kind) {
      case 'delivered':
        this.#deliveredOne(entry, outcome, now)
        if (probe) this.#alive(probe, now)
        else if (this.#outage && entry.sentAt >= this.#outage.since) this.#outage.state.otherGotThrough()
        return
      case 'retry':
        this.#charge(entry, outcome.failure, { dead: false, retryAfterMs: outcome.retryAfterMs ?? 0 })
        if (probe) this.#alive(probe, now)
        return
      case 'dead':
        this.#charge(entry, outcome.failure, { dead: true, retryAfterMs: 0 })
        if (probe) this.#alive(probe, now)
        return
      case 'pause':
      case 'misconfigured':
        this.#down(entry, outcome, probe, now)
        return
      default:
        outcome satisfies never
    }
  }

  #deliveredOne(entry: Entry, outcome: Extract<Outcome, { kind: 'delivered' }>, now: number): void {
    const { message, parked } = entry
    this.#delivered++
    const ms = now - entry.sentAt
    if (this.#o.settings.receipts) this.#buffer.receipt(message, message.attempt, ms, outcome.receipt)
    if (parked) {
      this.#buffer.attempt(message, message.attempt, 'delivered', ms)
      this.#buffer.settle(parked)
      this.#forget(parked)
      entry.state = 'settled'
      this.#progress = true
    } else {
      this.#settled(entry)
    }
  }

  #settled(entry: Entry): void {
    entry.state = 'settled'
    this.#progress = true
    this.#bytes -= entry.message.payload.length
    this.#ready.release(entry)
  }

  #charge(
    entry: Entry,
    failure: DeliveryFailure,
    { dead, retryAfterMs }: { dead: boolean; retryAfterMs: number },
  ): ParkedEntry {
    const { clock, hooks, name, settings } = this.#o
    const { message } = entry
    const now = clock.monotonic()
    const attempt = (entry.parked?.attempt ?? 0) + 1
    const state = dead || attempt >= settings.maxAttempts ? 'dead' : 'retrying'
    const delay = state === 'dead' ? null : Math.max(retryAfterMs, backoffDelay(attempt, settings.backoff))
    this.#buffer.attempt(message, attempt, dead ? 'dead' : 'retry', now - entry.sentAt, failure)
    let { parked } = entry
    if (parked) {
      const was = parked.attempt
      parked.attempt = attempt
      parked.state = state
      parked.sending = false
      parked.dueAt = now + (delay ?? 0)
      this.#parked.touch(parked)
      this.#buffer.update(parked, was, delay, failure)
      entry.state = 'settled'
    } else {
      parked = this.#park(entry, state, attempt, now + (delay ?? 0))
      this.#buffer.park(parked, delay, failure)
      this.#settled(entry)
    }
    const named = { id: message.id, topic: message.topic, key: message.key, attempt }
    if (state === 'dead') this.#hook(() => hooks.onDead?.(name, named, failure))
    else this.#hook(() => hooks.onRetry?.(name, named, failure))
    return parked
  }

  #park(entry: Entry, state: ParkedEntry['state'], attempt: number, dueAt: number): ParkedEntry {
    const { seq, id, topic, key } = entry.message
    const parked: ParkedEntry = {
      ...{ seq, id, topic, key, state, attempt, dueAt },
      sending: false,
      dirty: 0,
      convicted: false,
      message: undefined,
    }
    entry.parked = parked
    this.#remember(parked)
    return parked
  }

  // An answer that holds the window's end for too long is written down as in flight, and settled when it comes.
  #parkSlow(): void {
    const first = this.#window.first
    const { clock, settings, adapter } = this.#o
    if (!first || first.state !== 'sending' || this.#outage || adapter.capabilities.transactional) return
    const now = clock.monotonic()
    if (now - first.sentAt < settings.slowAfterMs) return
    const parked = this.#park(first, 'in_flight', 0, now)
    parked.sending = true
    this.#buffer.park(parked, null)
    this.#settled(first)
    first.state = 'sending' // its answer is still awaited
    first.passed = true
  }

  // ── Pauses ──

  #down(
    entry: Entry,
    outcome: Extract<Outcome, { kind: 'pause' | 'misconfigured' }>,
    probe: Probe | undefined,
    now: number,
  ): void {
    const retryAfterMs = outcome.kind === 'pause' ? outcome.retryAfterMs : undefined
    const kind: PauseKind =
      outcome.kind === 'misconfigured' ? 'misconfigured' : retryAfterMs !== undefined ? 'throttled' : 'outage'
    if (!probe && entry.parked?.convicted) {
      this.#charge(entry, outcome.failure, { dead: false, retryAfterMs: retryAfterMs ?? 0 })
      return
    }
    const current = this.#outage
    if (!current) {
      this.#putBack(entry)
      this.#pause(kind, entry, outcome.failure, retryAfterMs)
      return
    }
    if (probe && current.state.failed(probe, kind, now, retryAfterMs) === 'convict') {
      const { logger, name } = this.#o
      logger.warn(
        { ...name, message: entry.message.id, code: outcome.failure.code },
        'others get through: the message is at fault',
      )
      this.#charge(entry, outcome.failure, { dead: false, retryAfterMs: retryAfterMs ?? 0 }).convicted = true
      this.#resume()
      return
    }
    this.#putBack(entry)
  }

  #pause(kind: PauseKind, suspect: Entry, failure: DeliveryFailure, retryAfterMs?: number): void {
    const { clock, logger, name, settings } = this.#o
    const state = new Outage(kind, clock.monotonic(), retryAfterMs, { backoff: settings.probe })
    this.#outage = { state, suspect, since: suspect.sentAt, probing: undefined }
    logger.warn({ ...name, kind, code: failure.code, message: suspect.message.id }, 'lane paused')
    this.#writePause(kind, `${failure.code}: ${failure.message}`)
  }

  #resume(): void {
    this.#outage = undefined
    this.#o.logger.info({ ...this.#o.name }, 'lane goes on')
    this.#writePause(null)
  }

  #alive(probe: Probe, now: number): void {
    if (this.#outage?.state.delivered(probe, now) === 'resume') this.#resume()
  }

  #probe(now: number): void {
    const current = this.#outage
    if (!current || current.probing || this.#calls > 0 || now < current.state.nextProbeAt) return
    const { suspect } = current
    const isOther = (entry: Entry): boolean =>
      entry !== suspect &&
      (entry.message.key === null || entry.message.key !== suspect.message.key) &&
      !this.#mustHold(entry)
    const which = current.state.choose(this.#ready.some(isOther))
    if (which === 'other') {
      const entry = this.#ready.take(isOther)
      if (entry) this.#probeWith(entry, which)
      return
    }
    if (suspect.parked) {
      const { parked } = suspect
      if (!this.#parkedByKey.has(deliveryKey(parked)) || parked.state === 'dead') {
        this.#resume() // an operator dropped it
        return
      }
      if (parked.dirty > 0) return
      parked.sending = true
      this.#probeWith(retryEntry(suspect.message, parked), which)
      return
    }
    const entry = this.#ready.take((e) => e === suspect)
    if (entry) this.#probeWith(entry, which)
    else this.#resume()
  }

  #probeWith(entry: Entry, which: Probe): void {
    const current = this.#outage
    if (!current) return
    if (which === 'suspect') current.suspect = entry
    current.probing = { entry, which }
    this.#call([entry])
  }

  #writePause(kind: PauseKind | 'parked_limit' | null, reason = ''): void {
    const { pool, fence, hooks, name } = this.#o
    if (kind === null && !this.#pauseWritten) return
    this.#pauseWritten = kind !== null
    this.#hook(() => (kind === null ? hooks.onResume?.(name) : hooks.onPause?.(name, { kind, reason })))
    writePause(pool, fence, kind === null ? null : { kind, reason }).catch((error: unknown) => this.fail(error))
  }

  // ── Committing ──

  #commit(): void {
    if (this.#committing) return
    const quiet = this.#buffer.empty && !this.#progress
    if (quiet && (!this.#mark || this.#o.clock.monotonic() - this.#committedAt < quietCommitMs)) return
    if (this.#buffer.empty && !this.#mark) return
    if (this.#pauseWritten && this.#progress && !this.#outage && !this.#full) this.#writePause(null)
    this.#committing = true
    this.#write(this.#o.pool)
      .then((done) => done())
      .catch((error: unknown) => this.fail(error))
      .finally(() => {
        this.#committing = false
        this.#kick.kick()
      })
  }

  // Writes what there is now; resolves to what to do once it is committed.
  async #write(db: Queryable): Promise<() => void> {
    const mark = this.#mark
    const { rows, done } = this.#buffer.take()
    const newDelta = mark?.delta !== undefined && mark.delta !== this.#position.delta
    const position = mark
      ? { n: this.#position.n + 1, delta: mark.delta, after: mark.after, delivered: this.#delivered }
      : null
    const counted = this.#delivered - this.#position.delivered
    this.#mark = undefined
    this.#progress = false
    this.#committedAt = this.#o.clock.monotonic()
    const matched = await commitLane(db, this.#o.fence, { position, newDelta, ...rows })
    return () => {
      if (position) this.#position = position
      done()
      if (!matched) this.#reload = true
      if (position && counted > 0) this.#hook(() => this.#o.hooks.onDelivered?.(this.#o.name, counted))
    }
  }

  // ──

  #nextTimer(): number {
    const now = this.#o.clock.monotonic()
    let at = now + 1000 // the lease is looked at
    if (this.#outage) at = Math.min(at, this.#outage.probing ? at : this.#outage.state.nextProbeAt)
    else at = Math.min(at, Math.max(this.#parked.nextDue, now + 1))
    const first = this.#window.first
    if (first?.state === 'sending') at = Math.min(at, first.sentAt + this.#o.settings.slowAfterMs)
    return Math.max(1, at - now)
  }

  /** What the lane knows can't be trusted any more: it ends, and `run` rejects with `error`. */
  fail(error: unknown): void {
    if (this.#abort.signal.aborted) return
    this.#failure ??= error
    this.#abort.abort(error)
    this.#kick.kick()
  }

  #hook(call: () => void): void {
    try {
      call()
    } catch (error) {
      this.#o.logger.error({ ...this.#o.name, err: messageOf(error) }, 'a hook threw')
    }
  }
}

function deliveryKey({ seq, id }: { readonly seq: number; readonly id: string }): string {
  return `${seq}:${id}`
}

function leaseExpired(): WaybillError {
  return new WaybillError(
    'WAYBILL_LEASE_EXPIRED',
    'the lease could not be renewed in time: nothing may be sent before it is',
  )
}
