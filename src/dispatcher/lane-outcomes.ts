import type { DeliveryFailure, Outcome } from '../adapters/contract.js'
import { backoffDelay } from '../core/backoff.js'
import type { Clock } from '../core/clock.js'
import type { DeliverySettings } from '../core/delivery-settings.js'
import type { CommitBuffer } from './commit-buffer.js'
import type { DispatcherHooks, LaneName } from './hooks.js'
import type { LaneCommits } from './lane-commits.js'
import type { LaneParked } from './lane-parked.js'
import type { Down, LanePause } from './lane-pause.js'
import type { Probe } from './outage.js'
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

/** What becomes of a message once its adapter has answered, or has not: settled, charged and parked, or put back. */
export class LaneOutcomes {
  readonly #o: LaneOutcomesOptions

  constructor(options: LaneOutcomesOptions) {
    this.#o = options
  }

  /** A call ended without an answer for these: not delivered, uncharged. `progress`: it had one for others. */
  unanswered(left: Entry[], progress: boolean): void {
    const [first] = left
    if (!first) return
    const failure = { code: 'UNANSWERED', message: 'the adapter gave no answer' }
    for (const entry of left) {
      const probe = this.#o.pause.answered(entry)
      if (probe || entry.parked?.convicted)
        this.#down(entry, { kind: 'pause', failure }, probe, this.#o.clock.monotonic())
      else {
        if (entry === first && !progress && !this.#o.pause.active) this.#o.pause.begin('outage', entry, failure)
        this.#putBack(entry)
      }
    }
  }

  #putBack(entry: Entry): void {
    const { parked } = entry
    if (!parked) return this.#o.ready.putBack([entry])
    parked.sending = false
    parked.dueAt = this.#o.clock.monotonic() + putBackMs
    if (parked.state === 'in_flight') {
      parked.state = 'retrying'
      this.#o.buffer.update(parked, parked.attempt, putBackMs)
    }
    entry.state = 'settled'
    this.#o.parked.touch(parked)
  }

  /** It was not sent, and says nothing of the destination. */
  malformed(entry: Entry, flaw: string): void {
    this.#o.pause.answered(entry)
    entry.sentAt = this.#o.clock.monotonic()
    this.#charge(
      entry,
      { code: 'MALFORMED', message: `${flaw}; it was not published` },
      { dead: true, retryAfterMs: 0 },
    )
  }

  /** What the adapter said of an entry. */
  outcome(entry: Entry, outcome: Outcome): void {
    const probe = this.#o.pause.answered(entry)
    const now = this.#o.clock.monotonic()
    switch (outcome.kind) {
      case 'delivered':
        this.#delivered(entry, outcome, now)
        return this.#o.pause.alive(entry, probe, now)
      case 'retry':
        this.#charge(entry, outcome.failure, { dead: false, retryAfterMs: outcome.retryAfterMs ?? 0 })
        return this.#o.pause.alive(entry, probe, now)
      case 'dead':
        this.#charge(entry, outcome.failure, { dead: true, retryAfterMs: 0 })
        return this.#o.pause.alive(entry, probe, now)
      case 'pause':
      case 'misconfigured':
        return this.#down(entry, outcome, probe, now)
      default:
        outcome satisfies never
    }
  }

  #down(entry: Entry, outcome: Down, probe: Probe | undefined, now: number): void {
    const retryAfterMs = outcome.kind === 'pause' ? (outcome.retryAfterMs ?? 0) : 0
    const known = !probe && entry.parked?.convicted === true
    if (!known && this.#o.pause.down(entry, outcome, probe, now) === 'wait') return this.#putBack(entry)
    this.#charge(entry, outcome.failure, { dead: false, retryAfterMs }).convicted = true
    if (!known) this.#o.pause.resume()
  }

  #delivered(entry: Entry, outcome: Extract<Outcome, { kind: 'delivered' }>, now: number): void {
    const { message, parked } = entry
    const ms = now - entry.sentAt
    this.#o.commits.delivered++
    if (this.#o.settings.receipts) this.#o.buffer.receipt(message, message.attempt, ms, outcome.receipt)
    if (!parked) return this.settled(entry)
    this.#o.buffer.attempt(message, message.attempt, 'delivered', ms)
    this.#o.buffer.settle(parked)
    this.#o.parked.forget(parked)
    entry.state = 'settled'
    this.#o.commits.progress = true
  }

  /** The cursor may pass the entry; the next of its key may go. */
  settled(entry: Entry): void {
    entry.state = 'settled'
    this.#o.commits.progress = true
    this.#o.ready.release(entry)
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
    this.#o.buffer.attempt(message, attempt, dead ? 'dead' : 'retry', now - entry.sentAt, failure)
    let { parked } = entry
    if (parked) {
      const was = parked.attempt
      // its payload is read again when it is due: thousands of them would not fit
      Object.assign(parked, { attempt, state, sending: false, dueAt: now + (delay ?? 0), message: undefined })
      this.#o.parked.touch(parked)
      this.#o.buffer.update(parked, was, delay, failure)
      entry.state = 'settled'
    } else {
      parked = this.#o.parked.park(entry, state, attempt, now + (delay ?? 0))
      this.#o.buffer.park(parked, delay, failure)
      this.settled(entry)
    }
    const named = { id: message.id, topic: message.topic, key: message.key, attempt }
    this.#o.hook(() =>
      state === 'dead' ? hooks.onDead?.(name, named, failure) : hooks.onRetry?.(name, named, failure),
    )
    return parked
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
