import type { Clock } from '../core/clock.js'

/** Lets a loop sleep until something happens. A `wake` while nobody sleeps ends the next sleep at once. */
export class Wake {
  #due = false
  #end: (() => void) | undefined

  wake(): void {
    this.#due = true
    this.#end?.()
  }

  /** Resolves at the next `wake`, after `ms`, or when `signal` aborts. */
  async sleep(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    await this.#until(signal, (ended) => clock.sleep(ms, ended))
  }

  /** Resolves at the next `wake` or when `signal` aborts. */
  async wait(signal: AbortSignal): Promise<void> {
    await this.#until(
      signal,
      (ended) => new Promise((resolve) => ended.addEventListener('abort', () => resolve(), { once: true })),
    )
  }

  async #until(signal: AbortSignal, sleep: (ended: AbortSignal) => Promise<void>): Promise<void> {
    if (!this.#due && !signal.aborted) {
      const ended = new AbortController()
      const end = (): void => ended.abort()
      this.#end = end
      signal.addEventListener('abort', end, { once: true })
      await sleep(ended.signal)
      signal.removeEventListener('abort', end)
      this.#end = undefined
    }
    this.#due = false
  }
}
