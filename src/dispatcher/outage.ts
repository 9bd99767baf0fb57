import { type BackoffSettings, backoffDelay } from '../core/backoff.js'

/**
 * A pause of a lane, as a state machine without clock or I/O. While it lasts nothing is written and no attempt is
 * charged. Probes alternate between the message that failed (the suspect) and the oldest of another key: when the other
 * gets through and the suspect fails again, it was the message, not the destination, and the suspect is convicted.
 */
export type PauseKind = 'outage' | 'throttled' | 'misconfigured'
export type Probe = 'suspect' | 'other'
export type Verdict = 'resume' | 'convict' | 'wait'

export interface OutageSettings {
  readonly backoff: BackoffSettings
  readonly random?: () => number
}

/** How often a throttled suspect must fail while others get through before it is taken for the cause. */
const throttledFailures = 5

export class Outage {
  kind: PauseKind
  /** Monotonic time of the next probe. */
  nextProbeAt: number
  #turn: Probe = 'other'
  #round = 1
  #otherOk = false
  #suspectFailures = 1
  readonly #settings: OutageSettings

  constructor(kind: PauseKind, now: number, retryAfterMs: number | undefined, settings: OutageSettings) {
    this.kind = kind
    this.#settings = settings
    this.nextProbeAt = now
    this.#wait(now, retryAfterMs)
  }

  /** Which message to probe with. `otherAvailable`: there is one of another key. */
  choose(otherAvailable: boolean): Probe {
    return this.#turn === 'other' && otherAvailable ? 'other' : 'suspect'
  }

  delivered(probe: Probe, now: number): Verdict {
    if (probe === 'suspect') return 'resume'
    this.#otherOk = true
    this.#turn = 'suspect'
    this.nextProbeAt = now
    return 'wait'
  }

  failed(probe: Probe, kind: PauseKind, now: number, retryAfterMs?: number): Verdict {
    this.kind = kind
    if (probe === 'suspect') {
      this.#suspectFailures++
      const guilty = kind !== 'throttled' || this.#suspectFailures > throttledFailures
      if (this.#otherOk && guilty) return 'convict'
    }
    // a destination that fails now may have been up when the other got through: ask again
    this.#otherOk = this.#otherOk && probe === 'suspect'
    this.#turn = probe === 'suspect' ? 'other' : 'suspect'
    this.#round++
    this.#wait(now, retryAfterMs)
    return 'wait'
  }

  /** A message that was sent no earlier than the suspect has got through since. */
  otherGotThrough(): void {
    this.#otherOk = true
    this.#turn = 'suspect'
  }

  #wait(now: number, retryAfterMs = 0): void {
    this.nextProbeAt =
      now + Math.max(retryAfterMs, backoffDelay(this.#round, this.#settings.backoff, this.#settings.random))
  }
}
