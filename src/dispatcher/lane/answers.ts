import type { Outcome } from '../../adapters/contract.js'
import type { Entry } from './window.js'

/** What a lane's destination answers, to tell a message that takes long from a destination that says nothing. */
export class Answers {
  /** Messages handed over and not answered. */
  #out = 0
  #latestAt = -Infinity
  /** When the latest of the messages was sent that have been answered. */
  #latestSentAt = -Infinity

  sent(messages: number): void {
    this.#out += messages
  }

  /** The call of these ended without an answer for them. */
  lost(messages: number): void {
    this.#out -= messages
  }

  came(entry: Entry, outcome: Outcome, now: number): void {
    this.#out--
    if (outcome.kind === 'pause' || outcome.kind === 'misconfigured') return
    this.#latestAt = now
    this.#latestSentAt = Math.max(entry.sentAt, this.#latestSentAt)
  }

  /**
   * Whether others get through while a message that was sent at `since` waits: one sent no earlier was answered, and
   * either answers have come within `withinMs`, or few are missing, so that there was nothing to answer.
   */
  getThrough(since: number, now: number, { few, withinMs }: { few: number; withinMs: number }): boolean {
    return this.#latestSentAt >= since && (this.#out < few || now - this.#latestAt < withinMs)
  }
}
