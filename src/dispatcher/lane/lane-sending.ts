import type { Adapter } from '../../adapters/contract.js'
import type { Clock } from '../../core/clock.js'
import type { DeliverySettings } from '../../core/delivery-settings.js'
import { WaybillError } from '../../core/errors.js'
import { flawOf } from '../../outbox/message.js'
import type { LanePause, Suspicion } from '../pause/lane-pause.js'
import type { LaneCalls } from './lane-calls.js'
import type { LaneCommits } from './lane-commits.js'
import type { LaneOutcomes } from './lane-outcomes.js'
import { type LaneParked, idOf } from './lane-parked.js'
import type { ParkedEntry } from './parked.js'
import type { ReadyQueue } from './ready-queue.js'
import type { Entry, Window } from './window.js'

export interface LaneSendingOptions {
  readonly settings: DeliverySettings
  readonly adapter: Adapter
  readonly clock: Clock
  readonly window: Window
  readonly ready: ReadyQueue
  readonly parked: LaneParked
  readonly pause: LanePause
  readonly commits: LaneCommits
  readonly outcomes: LaneOutcomes
  readonly calls: LaneCalls
  readonly leaseValid: () => boolean
  readonly stopping: () => boolean
  readonly fail: (error: unknown) => void
  readonly kick: () => void
}

/** Bytes of payloads and headers read and not settled, at most (but for one page). */
const windowBytes = 32 * 1024 * 1024
/**
 * Bytes of payloads and headers in one call of the adapter, at most (but for one message): what it makes of them, as the parameters of a
 * statement or the body of a request, is in memory several times at once.
 */
const batchBytes = 4 * 1024 * 1024
/** Parked deliveries that a probe is chosen from, at most. */
const probedOf = 16
/** A lane that has suspects and nothing else to send waits so long for the next page before it pauses. */
const stallMs = 200
/** Windows that a paused lane reads in search of a message of another key. */
const lookout = 4

/** What a lane sends next: new messages, what is parked and due, suspects; or, while it is paused, probes. */
export class LaneSending {
  readonly #o: LaneSendingOptions
  /** What was sent last had failed before: new messages go next. */
  #newTurn = false
  /** Since when suspects are left and nothing else is. */
  #quietSince: number | undefined

  constructor(options: LaneSendingOptions) {
    this.#o = options
  }

  /** So much is read and not settled that nothing more is to be. */
  get full(): boolean {
    return this.#isFull(this.#reach())
  }

  /** Monotonic time at which a lane that has suspects alone pauses. */
  get stallAt(): number {
    return this.#quietSince === undefined ? Infinity : this.#quietSince + stallMs
  }

  // Messages read and not settled, at most. In a pause where all of them have failed, or wait behind one that has, it looks
  // further for one that tells whether the destination is down or the messages are at fault.
  #reach(): number {
    const { window } = this.#o.settings
    if (!this.#o.pause.active || this.#o.window.size < window) return window
    return this.#o.ready.hasCandidate((key) => this.#o.parked.holds(key)) ? window : window * lookout
  }

  #isFull(reach: number): boolean {
    return this.#o.ready.bytes >= windowBytes || this.#o.window.size >= reach
  }

  send(): void {
    const now = this.#o.clock.monotonic()
    if (this.#o.commits.refused) return
    if (this.#o.pause.active) return this.#probe(now)
    if (!this.#sendOld(now)) return
    while (this.#o.calls.room > 0 && this.#o.ready.length > 0 && !this.#o.pause.active) {
      const batch = this.#nextBatch()
      if (batch.length > 0) this.#call(batch)
    }
    this.#lookForStall(now)
  }

  // Suspects wait for a verdict, and no message comes that could tell: from here on they are probed. Retries of what was found
  // guilty tell nothing, and go on for ever: 31 of them kept a lane from reading on past its two suspects.
  #lookForStall(now: number): void {
    if (this.#o.pause.suspects === 0 || this.#o.ready.length > 0 || !this.#o.calls.onlyRetries)
      this.#quietSince = undefined
    else if (now - (this.#quietSince ??= now) >= stallMs) {
      this.#quietSince = undefined
      this.#o.pause.stall(now)
    }
  }

  #nextBatch(): Entry[] {
    const most = Math.min(this.#o.adapter.capabilities.maxBatch, this.#o.pause.batchLimit)
    const batch: Entry[] = []
    let bytes = 0
    while (batch.length < most && bytes < batchBytes) {
      const entry = this.#o.ready.shift()
      if (!entry) break
      if (this.#o.parked.holds(entry.message.key)) this.#o.outcomes.hold(entry)
      else if (this.#isSound(entry)) {
        batch.push(entry)
        bytes += entry.message.bytes
      }
    }
    return batch
  }

  // A single message at a time while the lane is paused. Where nothing in reach could tell whether the destination is down,
  // each probe of a long pause writes down one message that holds the window's end, so that the lane reads on.
  #probe(now: number): void {
    if (this.#o.calls.room <= 0 || now < this.#o.pause.nextProbeAt) return
    const holds = (key: string | null): boolean => this.#o.parked.holds(key)
    const fresh = this.#o.ready.candidates(this.#o.settings.order === 'key', holds)
    // what is parked and due may be the only message left that tells
    const due = fresh.length > 0 ? [] : this.#o.parked.due(now, probedOf)
    for (const entry of due) this.#o.parked.touch(entry) // it stays due
    const probe = this.#o.pause.probe(now, fresh.length > 0 ? fresh : due)
    if (!probe) return
    if ('fresh' in probe) {
      const parked = due[probe.fresh]
      if (parked) {
        this.#o.pause.probed(parked)
        return this.#sendParked([parked])
      }
      const entry = fresh[probe.fresh] as Entry
      this.#o.ready.take(entry)
      if (!this.#isSound(entry)) return
      this.#o.pause.probed(entry.message)
      return this.#call([entry])
    }
    if (fresh.length === 0 && this.#o.pause.long && this.#isFull(this.#reach())) this.#passFirst()
    const suspicion = this.#o.pause.suspicion(probe.suspect)
    if (!suspicion || !this.#canSend(suspicion)) return // its row is being written
    this.#o.pause.probed(suspicion.message)
    this.#sendSuspect(suspicion, false)
  }

  // One that was found guilty, or may be, is sent by itself: what takes the connection along would make suspects of all
  // that is under way beside it. It takes turns with new messages where there is but one call at a time.
  #sendOld(now: number): boolean {
    const alone = this.#o.adapter.capabilities.maxBatch > 1
    if (!alone && !this.#o.calls.single) {
      for (let room = this.#o.calls.roomForRetries; room > 0; room--) {
        const suspicion = this.#o.pause.trial(now)
        if (!suspicion || !this.#canSend(suspicion)) break
        this.#sendSuspect(suspicion, false)
      }
      this.#sendParked(this.#o.parked.due(now, this.#o.calls.roomForRetries))
      return true
    }
    const suspicion = this.#o.pause.trial(now)
    const trial = suspicion && this.#canSend(suspicion) ? suspicion : undefined
    const due = this.#o.parked.due(now, this.#o.calls.single ? 1 : this.#o.calls.roomForRetries)
    const plain = this.#o.calls.single ? [] : due.filter(({ convicted }) => !convicted)
    const old = due.find((entry) => !plain.includes(entry))
    for (const entry of due) if (!plain.includes(entry)) this.#o.parked.touch(entry) // it stays due
    if ((trial ?? old) === undefined || (this.#newTurn && this.#o.ready.length > 0)) {
      this.#newTurn = false
      this.#sendParked(plain)
      return true
    }
    for (const entry of plain) this.#o.parked.touch(entry)
    if (!this.#o.calls.idle) return false // it waits for what is under way
    this.#newTurn = true
    if (trial) this.#sendSuspect(trial, alone)
    else if (old) this.#sendParked([old], alone)
    return false
  }

  #canSend({ parked }: Suspicion): boolean {
    return !parked || (!parked.sending && parked.dirty === 0 && parked.state !== 'dead' && this.#o.parked.has(parked))
  }

  #sendSuspect({ entry, parked, message }: Suspicion, alone: boolean): void {
    if (parked) return this.#sendParked([parked], alone)
    if (!entry) return this.#o.pause.forget(message)
    this.#call([entry], alone)
  }

  #sendParked(due: readonly ParkedEntry[], alone = false): void {
    if (due.length === 0) return
    const probing = this.#o.pause.active
    for (const entry of due) entry.sending = true
    const loading = this.#o.parked.load(due)
    ;(alone ? this.#o.calls.alone(loading) : this.#o.calls.preparing(loading))
      .then((entries) => {
        for (const entry of entries) {
          if (this.#o.stopping() || this.#o.pause.active !== probing) this.#unsent(entry.parked)
          else if (this.#isSound(entry)) this.#call([entry], alone)
        }
        for (const each of due) if (!this.#o.parked.has(each) || each.state === 'dead') this.#o.pause.forget(each)
      })
      .catch((error: unknown) => this.#o.fail(error))
      .finally(() => this.#o.kick())
  }

  #unsent(parked: ParkedEntry | undefined): void {
    if (!parked) return
    parked.sending = false
    this.#o.pause.unsent(parked)
    this.#o.parked.touch(parked) // it left the count of what is due when it was taken out to be sent
  }

  // The window's end may be passed: by writing down what holds it, and cannot be sent.
  #passFirst(): void {
    const first = this.#o.window.first
    if (!first || this.#o.parked.size >= this.#o.settings.maxParked) return
    if (first.state === 'suspect') {
      const suspicion = this.#o.pause.suspicion(idOf(first.message))
      if (suspicion) this.#o.outcomes.setSuspectAside(suspicion)
    } else if (first.state === 'ready' && this.#o.parked.holds(first.message.key)) {
      this.#o.ready.take(first)
      this.#o.outcomes.hold(first)
    }
    this.#o.commits.advance()
  }

  /** No adapter is asked to send what nobody can have published. */
  #isSound(entry: Entry): boolean {
    const flaw = flawOf(entry.message)
    if (flaw !== undefined) this.#o.outcomes.malformed(entry, flaw)
    return flaw === undefined
  }

  #call(batch: Entry[], alone = false): void {
    if (!this.#o.leaseValid()) return this.#o.fail(leaseExpired())
    this.#o.calls.begin(batch, alone)
  }

  // An answer that holds the window's end for too long is written down as in flight, and settled when it comes.
  // Where none gets through it is the destination that is slow: its time-outs will say so, and nothing is written. Written
  // down one by one, the window of a silent broker took a backlog of 4,000 along, key by key (23 s to recover, not 1).
  parkSlow(): void {
    const first = this.#o.window.first
    const { clock, settings, adapter } = this.#o
    if (first?.state !== 'sending' || this.#o.pause.active || adapter.capabilities.transactional) return
    const { slowAfterMs } = settings
    if (clock.monotonic() - first.sentAt < slowAfterMs) return
    if (!this.#o.calls.othersGetThrough(first.sentAt, slowAfterMs / 2)) return
    this.#o.outcomes.setAside(first)
    this.#o.commits.advance()
  }
}

export function leaseExpired(): WaybillError {
  return new WaybillError(
    'WAYBILL_LEASE_EXPIRED',
    'the lease could not be renewed in time: nothing may be sent before it is',
  )
}
