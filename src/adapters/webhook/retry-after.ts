/**
 * Milliseconds that a `Retry-After` (RFC 9110, 10.2.3: seconds, or an HTTP date) asks to wait, from 0 to `maxMs`.
 * Undefined when there is none or it is neither. `now` is milliseconds since 1970.
 */
export function retryAfterMs(value: string | string[] | undefined, now: number, maxMs: number): number | undefined {
  const text = (Array.isArray(value) ? value[0] : value)?.trim()
  if (!text) return undefined
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : httpDate(text) - now
  return Number.isNaN(wait) ? undefined : Math.min(Math.max(0, wait), maxMs)
}

/** `Date.parse` takes much more than an HTTP date ("1.5", "-3"); a date starts with the day's name. */
function httpDate(text: string): number {
  return /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)/.test(text) ? Date.parse(text) : Number.NaN
}
