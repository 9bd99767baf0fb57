import { WaybillError } from '../core/errors.js'

/** As they were at load: what a test puts in their place stands still until the test moves it. */
const { setTimeout: startTimer, clearTimeout: stopTimer } = globalThis

/** What a call may still do after its time to leave nothing behind. */
const tidyMs = 1000

/** The time that a call has. It runs on under fake timers. */
export interface CallLimit {
  readonly ms: number
  /** Aborts when the time is over. */
  readonly signal: AbortSignal
  /** Aborts when there is no more time to tidy up either. */
  readonly left: AbortSignal
  clear(): void
}

export function startLimit(ms: number): CallLimit {
  const over = new AbortController()
  const left = new AbortController()
  let timer = startTimer(() => {
    over.abort()
    timer = startTimer(() => left.abort(), tidyMs)
  }, ms)
  return { ms, signal: over.signal, left: left.signal, clear: () => stopTimer(timer) }
}

/** Resolves after `ms`; rejects when the signal aborts. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const passed = new Promise<void>((resolve) => (timer = startTimer(resolve, ms)))
  return unlessAborted(signal, passed).finally(() => stopTimer(timer))
}

/** Settles as `work` does, or rejects when the signal aborts first. What `work` does then is not heard of. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  let stop: (() => void) | undefined
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal.reason as Error)
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
  try {
    return await Promise.race([work, aborted])
  } finally {
    if (stop) signal.removeEventListener('abort', stop)
  }
}

export function tookTooLong(ms: number, what: string, cause: unknown): WaybillError {
  const still = timersReplaced()
    ? '. setTimeout is not what it was when waybill/testing was loaded, and fake timers stand still: use real ones for the call, or fake the Date alone (toFake: ["Date"] of vitest)'
    : ''
  return new WaybillError('WAYBILL_TESTING_TIMEOUT', `deliverNow: not done within ${ms} ms: ${what}${still}`, { cause })
}

function timersReplaced(): boolean {
  return globalThis.setTimeout !== startTimer
}
