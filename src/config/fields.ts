import { z } from 'zod'
import { WaybillError } from '../core/errors.js'
import { parseDuration } from '../core/duration.js'

/** Small schemas that configuration and destinations share; each says in one sentence what it takes. */

/** A whole number within bounds, both included. */
export function wholeNumber(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}`
  return z.number({ error }).int({ error }).min(min, { error }).max(max, { error })
}

/** `true` or `false`, not text that looks like it. */
export const flag = z.boolean({ error: 'must be true or false' })

/** Text that is not empty. */
export const text = z.string({ error: 'must be text' }).min(1, { error: 'must not be empty' })

/** One of some words. */
export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, { error: `must be ${words.map((word) => `"${word}"`).join(' or ')}` })
}

export const durationHelp = 'milliseconds, or text such as "500ms", "30s", "5m", "2h", "7d"'

/** A duration as people write it: a number of milliseconds, or text with a unit. */
export type DurationInput = number | string

/** Takes a `DurationInput`, gives milliseconds within the bounds, both included; the bounds are written as durations. */
export function duration(min: DurationInput, max: DurationInput) {
  const [minMs, maxMs] = [parseDuration(min), parseDuration(max)]
  return z
    .custom<DurationInput>((input) => milliseconds(input) !== undefined, { error: `must be ${durationHelp}` })
    .transform((input, context) => {
      const ms = milliseconds(input) ?? Number.NaN
      if (ms >= minMs && ms <= maxMs) return ms
      context.issues.push({ code: 'custom', message: `must be from ${min} to ${max} (${durationHelp})`, input })
      return z.NEVER
    })
}

function milliseconds(input: unknown): number | undefined {
  if (typeof input !== 'number' && typeof input !== 'string') return undefined
  try {
    return parseDuration(input)
  } catch (error) {
    if (WaybillError.isInstance(error) && error.code === 'WAYBILL_DURATION_INVALID') return undefined
    throw error
  }
}

/** Destinations and queues are named alike: they appear in SQL, in logs, in URLs and in metrics. */
export const nameSyntax = /^[a-z][a-z0-9_-]{0,62}$/
export const nameHelp = 'must be 1 to 63 of a-z, 0-9, "_" and "-", and start with a letter'
export const name = z.string({ error: nameHelp }).regex(nameSyntax, { error: nameHelp })
