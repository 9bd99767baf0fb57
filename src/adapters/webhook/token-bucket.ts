/** Lets `perSecond` pass, evenly spaced, with up to `burst` at once after a quiet time. Time is monotonic milliseconds. */
export class TokenBucket {
  readonly #perMs: number
  readonly #capacity: number
  #tokens: number
  #at: number

  constructor(perSecond: number, burst: number, now: number) {
    this.#perMs = perSecond / 1000
    // timers wake at most every millisecond or two: without this a limit above 500/s could not be reached
    this.#capacity = Math.max(burst, perSecond / 200)
    this.#tokens = this.#capacity
    this.#at = now
  }

  /** Takes one; 0 when it was there, otherwise the milliseconds until one is, and nothing was taken. */
  take(now: number): number {
    this.#tokens = Math.min(this.#capacity, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
    if (this.#tokens >= 1) {
      this.#tokens -= 1
      return 0
    }
    return Math.ceil((1 - this.#tokens) / this.#perMs)
  }
}
