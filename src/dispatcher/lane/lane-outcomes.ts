import type { DeliveryFailure, Outcome } from '../../adapters/contract.js'
import { backoffDelay } from '../../core/backoff.js'
import type { Clock } from '../../core/clock.js'
import type { DeliverySettings } from '../../core/delivery-settings.js'
import type { CommitBuffer } from './commit-buffer.js'
import type { DispatcherHooks, LaneName } from '../hooks.js'
import type { LaneCommits } from './lane-commits.js'
import type { LaneParked } from './lane-parked.js'
import type { Down, LanePause, Orders, Suspicion } from '../pause/lane-pause.js'
import type { ParkedEntry } from './parked.js'
import type { ReadyQueue } from './ready-queue.js'
import type { Entry } from './window.js'

export interface LaneOutcomesOptions {
  readonly name: LaneName
  readonly settings: DeliverySettings
  readonly clock: Clock
  readonly hooks: DispatcherHooks
  readonly hook: (call: () => unknown) => void
  readonly ready: ReadyQueue
  readonly buffer: CommitBuffer
  readonly parked: LaneParked
  readonly pause: LanePause
  readonly commits: LaneCommits
}

/** An attempt that was put back without an outcome is not made again sooner. */
const putBackMs = 250
/** Bytes that may stay in memory with an entry that is settled, until all before it are. */
const lightBytes = 4096

/** What is charged: a message, where it stands, and how long its answer took. */
type Charged = Pick<Suspicion, 'entry' | 'parked' | 'message' | 'ms'>

/** What becomes of a message once its adapter has answered, or has not: settled, charged and parked, or put back. */
export class LaneOutcomes {
  readonly #o: LaneOutcomesOptions

  constructor(options: LaneOutcomesOptions) {
    this.#o = options
  }

  /** A call of `size` messages ended without an answer for these: not delivered. */
  unanswered(left: readonly Entry[], size: number): void {
    const failure = { code: 'UNANSWERED', message: 'the adapter gave no answer' }
    const { settings, ready } = this.#o
    for (const entry of left) {
      // an adapter that keeps order leaves those unanswered that come behind one that failed
      const behind = settings.order === 'key' && !entry.parked && ready.waitsBehind(entry)
      if (behind) this.#putBack(entry)
      else this.#down(entry, { kind: 'pause', failure }, size)
    }
  }

  /** It is sent again in its turn, uncharged. */
  #putBack(entry: Entry): void {
    const { parked } = entry
    if (entry.dropped) return this.#giveUp(entry)
    if (!parked) return this.#o.ready.putBack([entry])
    this.#waitAgain(parked, putBackMs)
    entry.state = 'settled'
  }

  #waitAgain(parked: ParkedEntry, ms: number): void {
    parked.sending = false
    parked.dueAt = this.#o.clock.monotonic() + ms
    if (parked.state === 'in_flight') {
      parked.state = 'retrying'
      this.#o.buffer.update(parked, parked.attempt, Number.isFinite(ms) ? ms : putBackMs)
    }
    this.#o.parked.touch(parked)
  }

  /** It was not sent, and says nothing of the destination. */
  malformed(entry: Entry, flaw: string): void {
    this.#o.pause.forget(entry.message)
    this.#charge(
      { message: entry.message, parked: entry.parked, ms: 0, entry },
      { code: 'MALFORMED', message: `${flaw}; it was not published` },
      { dead: true, retryAfterMs: 0 },
    )
  }

  /** What the adapter said of an entry of a call of `size` messages. */
  outcome(entry: Entry, outcome: Outcome, size: number): void {
    const now = this.#o.clock.monotonic()
    switch (outcome.kind) {
      case 'delivered':
        this.#obey(this.#o.pause.alive(entry, now))
        return this.#delivered(entry, outcome, now)
      case 'retry':
        this.#obey(this.#o.pause.alive(entry, now))
        return this.#failed(entry, outcome.failure, { dead: false, retryAfterMs: outcome.retryAfterMs ?? 0 })
      case 'dead':
        this.#obey(this.#o.pause.alive(entry, now))
        return this.#failed(entry, outcome.failure, { dead: true, retryAfterMs: 0 })
      case 'pause':
      case 'misconfigured':
        return this.#down(entry, outcome, size)
      default:
        outcome satisfies never
    }
  }

  #down(entry: Entry, outcome: Down, size: number): void {
    const { pause, clock, ready, settings } = this.#o
    const now = clock.monotonic()
    const { parked } = entry
    if (entry.dropped) {
      pause.forget(entry.message)
      return this.#giveUp(entry)
    }
    const orders = pause.down(entry, outcome, size, now)
    const retryAfterMs = outcome.kind === 'pause' ? (outcome.retryAfterMs ?? 0) : 0
    if (orders.put === 'back') this.#putBack(entry)
    else if (parked) {
      if (orders.put === 'later') parked.uncharged = (parked.uncharged ?? 0) + 1
      const wait = Math.max(retryAfterMs, backoffDelay(parked.attempt + (parked.uncharged ?? 1), settings.backoff))
      this.#waitAgain(parked, orders.put === 'later' ? wait : Infinity)
      entry.state = 'settled'
    } else {
      entry.state = 'suspect'
      if (settings.order === 'key') ready.setAside(entry)
    }
    this.#obey(orders)
  }

  // Those that the search has found guilty are charged and parked, or charged again.
  #obey({ convicted }: Orders): void {
    for (const suspicion of convicted) {
      const { parked } = suspicion
      // it is on its way again, or an operator has acted on it since
      if (parked && (parked.sending || parked.state === 'dead' || !this.#o.parked.has(parked))) continue
      const { retryAfterMs, failure } = suspicion
      this.#charge(suspicion, failure, { dead: false, retryAfterMs, asOutage: true }).convicted = true
    }
  }

  #delivered(entry: Entry, outcome: Extract<Outcome, { kind: 'delivered' }>, now: number): void {
    const { message, parked } = entry
    const ms = now - entry.sentAt
    this.#o.commits.delivered++
    if (this.#o.settings.receipts) this.#o.buffer.receipt(message, message.attempt, ms, outcome.receipt)
    if (!parked) return this.settled(entry)
    this.#o.buffer.attempt(message, message.attempt, 'delivered', ms)
    this.#settleParked(parked)
    entry.state = 'settled'
  }

  #settleParked(parked: ParkedEntry): void {
    this.#o.buffer.settle(parked)
    this.#o.parked.forget(parked)
    this.#o.commits.progress = true
  }

  /** The cursor may pass the entry; the next of its key may go. */
  settled(entry: Entry): void {
    entry.state = 'settled'
    this.#o.commits.progress = true
    this.#o.ready.release(entry)
    if (entry.message.bytes > lightBytes) entry.message = entry.message.withoutContent()
  }

  /** An operator gave it up: it is not sent any more. One that is under way may still get through. */
  drop(entry: Entry): void {
    const { ready, commits } = this.#o
    if (entry.state === 'sending') {
      entry.dropped = true
      return
    }
    if (entry.state === 'suspect') return this.settled(entry)
    ready.drop(entry)
    entry.state = 'settled'
    commits.progress = true
  }

  // It was dropped while it was under way, and did not get through.
  #giveUp(entry: Entry): void {
    const { parked } = entry
    if (!parked) return this.settled(entry)
    this.#settleParked(parked)
    entry.state = 'settled'
  }

  #failed(entry: Entry, failure: DeliveryFailure, how: { dead: boolean; retryAfterMs: number }): void {
    if (entry.dropped) return this.#giveUp(entry)
    const { message, parked, sentAt } = entry
    const ms = this.#o.clock.monotonic() - sentAt
    this.#charge({ message, ms, parked, entry }, failure, how)
  }

  #charge(
    { entry, parked: before, message, ms }: Charged,
    failure: DeliveryFailure,
    { dead, retryAfterMs, asOutage = false }: { dead: boolean; retryAfterMs: number; asOutage?: boolean },
  ): ParkedEntry {
    const { clock, hooks, name, settings, pause } = this.#o
    const now = clock.monotonic()
    let attempt = (before?.attempt ?? 0) + 1
    let spent = attempt >= settings.maxAttempts
    // what looks like an outage gives nothing up while most others fail, too
    if (spent && asOutage && !pause.mayGiveUp(failure.code, message.topic, now)) {
      spent = false
      attempt = Math.max(1, settings.maxAttempts - 1)
    }
    const state = dead || spent ? 'dead' : 'retrying'
    const delay = state === 'dead' ? null : Math.max(retryAfterMs, backoffDelay(attempt, settings.backoff))
    this.#o.buffer.attempt(message, attempt, dead ? 'dead' : 'retry', ms, failure)
    let parked = before
    if (parked) {
      const was = parked.attempt
      // its payload is read again when it is due: thousands of them would not fit
      Object.assign(parked, {
        attempt,
        state,
        sending: false,
        dueAt: now + (delay ?? 0),
        message: undefined,
        uncharged: 0,
      })
      this.#o.parked.touch(parked)
      this.#o.buffer.update(parked, was, delay, failure)
      if (entry) entry.state = 'settled'
    } else {
      parked = this.#o.parked.park(entry as Entry, state, attempt, now + (delay ?? 0))
      this.#o.buffer.park(parked, delay, failure)
      this.settled(entry as Entry)
    }
    parked.code = failure.code
    const named = { id: message.id, topic: message.topic, key: message.key, attempt }
    // a copy: what is written down is not the application's to change
    this.#o.hook(() =>
      state === 'dead' ? hooks.onDead?.(name, named, { ...failure }) : hooks.onRetry?.(name, named, { ...failure }),
    )
    return parked
  }

  /** A suspect holds the window's end, and no message is in reach that could tell: it is written down uncharged, and passed. */
  setSuspectAside(suspicion: Suspicion): void {
    const { entry, failure } = suspicion
    const { buffer, parked, pause } = this.#o
    if (!entry) return
    const aside = parked.park(entry, 'retrying', 0, Infinity)
    buffer.park(aside, putBackMs, failure)
    pause.written(suspicion, aside)
    this.settled(entry)
  }

  /** Its key is held back by a parked message: it is parked behind it, and the cursor may pass. */
  hold(entry: Entry): void {
    const { buffer, clock, parked } = this.#o
    buffer.park(parked.park(entry, 'held', 0, clock.monotonic()), null)
    this.settled(entry)
  }

  /** Its answer is still awaited, and has held the cursor back for too long: written down as in flight. */
  setAside(entry: Entry): void {
    const { buffer, clock, parked } = this.#o
    const aside = parked.park(entry, 'in_flight', 0, clock.monotonic())
    aside.sending = true
    buffer.park(aside, null)
    this.settled(entry)
    entry.state = 'sending'
    entry.passed = true
  }
}
