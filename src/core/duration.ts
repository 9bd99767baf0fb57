import { WaybillError } from './errors.js'
import { shapeOf } from './shape.js'

const units: Record<string, number> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a duration: a number of milliseconds, or text such as `500ms`, `30s`, `5m`, `2h`, `7d`. */
export function parseDuration(value: number | string, field = 'duration'): number {
  if (typeof value === 'number') {
    if (Number.isFinite(value) && value >= 0) return value
  } else if (typeof value === 'string') {
    const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(value.trim())
    const unit = match?.[2] === undefined ? undefined : units[match[2]]
    if (match?.[1] !== undefined && unit !== undefined) return Math.round(Number(match[1]) * unit)
  }
  throw new WaybillError(
    'WAYBILL_DURATION_INVALID',
    `${field}: ${shown(value)} is not a duration; give milliseconds or text such as "500ms", "30s", "5m", "2h", "7d"`,
  )
}

function shown(value: unknown): string {
  return typeof value === 'number' || typeof value === 'string' ? JSON.stringify(value) : shapeOf(value)
}
