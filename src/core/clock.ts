/**
 * Time, injected. Leases and time-outs run on `monotonic`, which a stepped wall clock does not move; `now` is for what
 * people and other systems read.
 */
export interface Clock {
  /** Wall clock, milliseconds since 1970. */
  now(): number
  /** Milliseconds from an arbitrary start; never goes back. */
  monotonic(): number
  /** Resolves after `ms` (24.8 days at most), or at once when `signal` aborts (it does not reject). */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Of a timer, milliseconds (24.8 days); a longer one would go off at once (Node.js, `setTimeout`). */
export const longestTimerMs = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve) => {
      if (signal?.aborted) return resolve()
      const done = (): void => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', done)
        resolve()
      }
      const timer = setTimeout(done, Math.min(ms, longestTimerMs))
      signal?.addEventListener('abort', done, { once: true })
    }),
}
