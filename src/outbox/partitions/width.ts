import type pg from 'pg'
import { loadSql } from '../../db/sql.js'

export const minWidth = 50_000
export const maxWidth = 20_000_000
const dayMs = 86_400_000
/** A burst of minutes is no day: what was drawn is spread over at least this long. */
const shortestSpanMs = 6 * 3_600_000

export interface Tip {
  /** Greatest seq drawn so far; 0 before the first. */
  readonly seq: number
  /** Seqs that a day uses at the pace of late; 0 when there is nothing to measure. */
  readonly perDay: number
}

const tipSql = loadSql(import.meta.url, './tip_measure.sql')

/** Where the sequence stands, and its pace: from the rows about 50,000, 500,000, 5,000,000 and 20,000,000 seqs back. */
export async function measureTip(client: pg.ClientBase): Promise<Tip> {
  const { rows } = await client.query<{ tip: string; back: string | null; age_ms: number | null }>(tipSql)
  const samples = rows.flatMap(({ back, age_ms }) =>
    back === null || age_ms === null ? [] : [{ seqs: Number(back), ageMs: age_ms }],
  )
  return { seq: Number(rows[0]?.tip ?? 0), perDay: pace(samples) }
}

export interface PaceSample {
  /** How many seqs ago. */
  readonly seqs: number
  readonly ageMs: number
}

/** Seqs a day, from the nearest sample that is a day old, or the oldest that there is. */
export function pace(samples: readonly PaceSample[]): number {
  const byAge = [...samples].sort((a, b) => a.ageMs - b.ageMs)
  const sample = byAge.find(({ ageMs }) => ageMs >= dayMs) ?? byAge.at(-1)
  return sample === undefined ? 0 : Math.round((sample.seqs * dayMs) / Math.max(sample.ageMs, shortestSpanMs))
}

/** Seqs of a new range: about a day's, in whole 50,000s, from 50,000 to 20,000,000. */
export function rangeWidth(perDay: number): number {
  const width = Math.ceil(perDay / minWidth) * minWidth
  return Math.min(maxWidth, Math.max(minWidth, width))
}
