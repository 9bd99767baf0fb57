import { setTimeout as sleep } from 'node:timers/promises'

/** For what comes in milliseconds, and on a loaded machine later: a test that waits in vain fails, however long it waits. */
export const patienceMs = 90_000

export interface WaitOptions {
  /** Default: `patienceMs`. */
  readonly timeoutMs?: number
  readonly intervalMs?: number
  /** What is waited for, as the error tells it. */
  readonly what?: string
}

/** Polls until `probe` gives something that counts as true, and returns that. */
export async function waitFor<T>(
  probe: () => T | undefined | null | false | Promise<T | undefined | null | false>,
  { timeoutMs = patienceMs, intervalMs = 20, what = 'the condition' }: WaitOptions = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`${what} did not come true within ${timeoutMs} ms`)
    await sleep(intervalMs)
  }
}

/** Polls until `assertion` no longer throws; its last error is the one that is reported. */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  { timeoutMs = patienceMs, intervalMs = 20 }: Omit<WaitOptions, 'what'> = {},
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    try {
      return await assertion()
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(intervalMs)
  }
}
