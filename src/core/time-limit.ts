/** A signal, and how to be rid of its timer. */
export interface TimeLimit {
  readonly signal: AbortSignal
  clear(): void
}

/**
 * A signal that aborts after `ms` (24.8 days at most), with a `TimeoutError`, or when `signal` does. In place of
 * `AbortSignal.any([AbortSignal.timeout(ms), …])`, which on Node.js 20 forgets the time when garbage is collected: it holds
 * its sources weakly.
 */
export function timeLimit(ms: number, signal?: AbortSignal): TimeLimit {
  const controller = new AbortController()
  const timer = setTimeout(() => {
    controller.abort(new DOMException('The operation was aborted due to timeout', 'TimeoutError'))
  }, ms)
  timer.unref()
  const follow = (): void => controller.abort(signal?.reason)
  if (signal?.aborted) follow()
  signal?.addEventListener('abort', follow, { once: true })
  return {
    signal: controller.signal,
    clear() {
      clearTimeout(timer)
      signal?.removeEventListener('abort', follow)
    },
  }
}
