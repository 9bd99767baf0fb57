import type pg from 'pg'
import type { DeliveryFailure, Outcome } from '../adapters/contract.js'
import type { Clock } from '../core/clock.js'
import type { BackoffSettings } from '../core/backoff.js'
import { type LaneFence, writePause } from '../outbox/lane-store.js'
import type { DispatcherHooks, DispatcherLogger, LaneName } from './hooks.js'
import type { LaneParked } from './lane-parked.js'
import { Outage, type PauseKind, type Probe } from './outage.js'
import type { ReadyQueue } from './ready-queue.js'
import { type Entry, retryEntry } from './window.js'

export interface LanePauseOptions {
  readonly name: LaneName
  readonly fence: LaneFence
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  readonly backoff: BackoffSettings
  /** Messages of one key wait for each other. */
  readonly byKey: boolean
  /** The lane's row says that it is paused. */
  readonly written: boolean
  readonly hook: (call: () => unknown) => void
  readonly fail: (error: unknown) => void
}

/** An answer that says so. */
export type Down = Extract<Outcome, { kind: 'pause' | 'misconfigured' }>

/** A lane's pauses: the outage it is in, which message probes, and what its row says of it. */
export class LanePause {
  readonly #o: LanePauseOptions
  #written: boolean
  #full = false
  #writing: Promise<unknown> = Promise.resolve()
  #outage:
    { state: Outage; suspect: Entry; since: number; probing: { entry: Entry; which: Probe } | undefined } | undefined

  constructor(options: LanePauseOptions) {
    this.#o = options
    this.#written = options.written
  }

  /** The destination is down, as far as is known: nothing but probes is sent. */
  get active(): boolean {
    return this.#outage !== undefined
  }

  get kind(): PauseKind | 'parked_limit' | null {
    return this.#outage?.state.kind ?? (this.#full ? 'parked_limit' : null)
  }

  /** Monotonic time of the next probe; Infinity while one is under way or none is needed. */
  get nextProbeAt(): number {
    return this.#outage && !this.#outage.probing ? this.#outage.state.nextProbeAt : Infinity
  }

  begin(kind: PauseKind, suspect: Entry, failure: DeliveryFailure, retryAfterMs?: number): void {
    const { backoff, clock, logger, name } = this.#o
    const state = new Outage(kind, clock.monotonic(), retryAfterMs, { backoff })
    this.#outage = { state, suspect, since: suspect.sentAt, probing: undefined }
    logger.warn({ ...name, kind, code: failure.code, message: suspect.message.id }, 'lane paused')
    this.#write(kind, `${failure.code}: ${failure.message}`)
  }

  resume(): void {
    this.#outage = undefined
    this.#o.logger.info({ ...this.#o.name }, 'lane goes on')
    this.#full = false // said again where it still holds
    this.#write(null)
  }

  /** What the lane's row says is out of date: messages get through. */
  confirm(): void {
    if (this.#written && !this.#outage && !this.#full) this.#write(null)
  }

  /** So many deliveries are parked that nothing more may be. */
  limit(full: boolean, parked: number): void {
    if (full === this.#full) return
    this.#full = full
    if (full) this.#write('parked_limit', `${parked} parked deliveries: retry or drop them, or raise maxParked`)
    else if (!this.#outage) this.#write(null)
  }

  /** As which probe the entry was sent; an answer to it ends the probe. */
  answered(entry: Entry): Probe | undefined {
    const current = this.#outage
    if (current?.probing?.entry !== entry) return undefined
    const { which } = current.probing
    current.probing = undefined
    return which
  }

  /** The destination answered for the entry. */
  alive(entry: Entry, probe: Probe | undefined, now: number): void {
    const current = this.#outage
    if (!current) return
    if (!probe) {
      if (entry.sentAt >= current.since) current.state.otherGotThrough()
    } else if (current.state.delivered(probe, now) === 'resume') {
      this.resume()
    }
  }

  /** The destination is down, says the answer for the entry. `convict`: it is the message, as others get through. */
  down(entry: Entry, outcome: Down, probe: Probe | undefined, now: number): 'wait' | 'convict' {
    const retryAfterMs = outcome.kind === 'pause' ? outcome.retryAfterMs : undefined
    const kind: PauseKind =
      outcome.kind === 'misconfigured' ? 'misconfigured' : retryAfterMs !== undefined ? 'throttled' : 'outage'
    if (!this.#outage) {
      this.begin(kind, entry, outcome.failure, retryAfterMs)
      return 'wait'
    }
    if (!probe) return 'wait'
    const before = this.#outage.state.kind
    if (this.#outage.state.failed(probe, kind, now, retryAfterMs) === 'wait') {
      if (kind !== before) this.#write(kind, `${outcome.failure.code}: ${outcome.failure.message}`)
      return 'wait'
    }
    const { logger, name } = this.#o
    const { id } = entry.message
    logger.warn({ ...name, message: id, code: outcome.failure.code }, 'others get through: the message is at fault')
    return 'convict'
  }

  /** The entry to probe with now, taken out of its queue; undefined when it is not time. */
  probe(now: number, ready: ReadyQueue, parked: LaneParked): Entry | undefined {
    const current = this.#outage
    if (!current || current.probing || now < current.state.nextProbeAt) return undefined
    const { suspect } = current
    const isOther = this.#isOther(suspect, parked)
    const which = current.state.choose(ready.some(isOther))
    const entry = which === 'other' ? ready.take(isOther) : this.#takeSuspect(suspect, ready, parked)
    if (entry) {
      if (which === 'suspect') current.suspect = entry
      current.probing = { entry, which }
    } else if (!suspect.parked || suspect.parked.dirty === 0) {
      this.resume() // an operator dropped it, or it was settled otherwise: whatever comes next shows how things are
    }
    return entry
  }

  /** Whether there is a message to probe with in place of the suspect. */
  hasOther(ready: ReadyQueue, parked: LaneParked): boolean {
    const suspect = this.#outage?.suspect
    return suspect !== undefined && ready.some(this.#isOther(suspect, parked))
  }

  #isOther(suspect: Entry, parked: LaneParked): (entry: Entry) => boolean {
    const key = this.#o.byKey ? suspect.message.key : null
    return (entry) =>
      entry !== suspect && (key === null || entry.message.key !== key) && !parked.holds(entry.message.key)
  }

  #takeSuspect(suspect: Entry, ready: ReadyQueue, parked: LaneParked): Entry | undefined {
    if (!suspect.parked) return ready.take((entry) => entry === suspect)
    if (!parked.has(suspect.parked) || suspect.parked.state === 'dead' || suspect.parked.dirty > 0) return undefined
    suspect.parked.sending = true
    return retryEntry(suspect.message, suspect.parked)
  }

  #write(kind: PauseKind | 'parked_limit' | null, reason = ''): void {
    const { pool, fence, hooks, name, hook, fail } = this.#o
    if (kind === null && !this.#written) return
    this.#written = kind !== null
    hook(() => (kind === null ? hooks.onResume?.(name) : hooks.onPause?.(name, { kind, reason })))
    // one after another: two at once may arrive in the wrong order
    this.#writing = this.#writing
      .then(() => writePause(pool, fence, kind === null ? null : { kind, reason }))
      .catch(fail)
  }
}
