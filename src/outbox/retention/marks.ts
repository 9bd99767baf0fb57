import type pg from 'pg'

/**
 * Low-water marks: up to where a table was emptied. A delete that looks for the oldest rows walks every dead one first
 * (17–83 ms and growing under a held snapshot); from its mark on it does not.
 */
export interface Marks {
  /** The log: greatest seq that was trimmed. */
  trim?: number
  /** dedupe_keys: time up to which expired keys are gone, as text. */
  dedupe?: string
  /** positions and deltas: for each lane the greatest n that is gone. */
  positions?: Record<string, number>
  deltas?: Record<string, number>
}

export async function loadMarks(client: pg.ClientBase): Promise<Marks> {
  const { rows } = await client.query<{ marks: Marks }>('select marks from waybill.maintenance')
  return rows[0]?.marks ?? {}
}
