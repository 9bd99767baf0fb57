/**
 * Rings once at the time that was asked for last. For who asks anew many times before it is due: its timer runs on, and is
 * set again only when it goes off too soon or has to go off sooner. A timer for each wish costs a microsecond.
 */
export class Alarm {
  readonly #ring: () => void
  #timer: NodeJS.Timeout | undefined
  /** When the timer goes off, by `performance.now`. */
  #timerAt = Infinity
  #at = Infinity

  constructor(ring: () => void) {
    this.#ring = ring
  }

  set(inMs: number): void {
    this.#at = performance.now() + inMs
    if (this.#at < this.#timerAt) this.#start(inMs)
  }

  clear(): void {
    clearTimeout(this.#timer)
    this.#at = this.#timerAt = Infinity
  }

  #start(inMs: number): void {
    clearTimeout(this.#timer)
    this.#timerAt = this.#at
    this.#timer = setTimeout(() => this.#goesOff(), inMs)
  }

  #goesOff(): void {
    this.#timerAt = Infinity
    // less than a millisecond early is what timers are
    const left = this.#at - performance.now()
    if (left >= 1) return this.#start(left)
    this.#at = Infinity
    this.#ring()
  }
}
