/** Capped exponential backoff with full jitter (Marc Brooker, "Exponential Backoff And Jitter", AWS 2015). */
export interface BackoffSettings {
  /** Ceiling of the first wait, milliseconds. */
  readonly baseMs: number
  /** Ceiling of every wait, milliseconds. */
  readonly capMs: number
}

/** The ceiling of wait number `attempt` (1 is the first): `min(cap, base · 2^(attempt-1))`. Never overflows. */
export function backoffCeiling(attempt: number, { baseMs, capMs }: BackoffSettings): number {
  const doublings = Math.min(Math.max(0, attempt - 1), 52)
  return Math.min(capMs, baseMs * 2 ** doublings)
}

/** A wait drawn evenly from 1 ms to the ceiling. `random` gives [0, 1). */
export function backoffDelay(attempt: number, settings: BackoffSettings, random: () => number = Math.random): number {
  return Math.max(1, Math.round(random() * backoffCeiling(attempt, settings)))
}
