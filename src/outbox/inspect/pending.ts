import type pg from 'pg'
import { shardOf } from '../../core/shard.js'
import { loadSql } from '../../db/sql.js'
import { notSeen, readFenced } from '../fenced-read.js'
import { type LaneFloor, laneFloors } from '../retention/lane-floors.js'
import { type TakenTick, takeTick } from '../tick.js'

const pendingSql = loadSql(import.meta.url, './lane_pending.sql')
const retriedSql = loadSql(import.meta.url, './delivery_retried.sql')
const pageRows = 1000
/** Seqs that are looked at at once. Where statistics are missing, the planner sorts all of a stretch to give its first rows. */
const firstSpan = 10_000
const lastSpan = 1_000_000

interface Row {
  readonly seq: number
  readonly id: string
  readonly key: string | null
  readonly shard: number
  readonly shards: number
}

/**
 * Watches until lanes have settled everything that was committed at one moment: delivered it or parked it, and stored
 * that. By what is stored, so it holds for lanes of other dispatchers too.
 */
export class PendingWatch {
  readonly #pool: pg.Pool
  readonly #tick: TakenTick & { readonly nonce: string }
  /** By lane: nothing up to here is pending. */
  readonly #low = new Map<number, number>()
  readonly #done = new Set<number>()

  private constructor(pool: pg.Pool, tick: TakenTick & { readonly nonce: string }) {
    this.#pool = pool
    this.#tick = tick
  }

  /** Of what is committed now. A dispatcher's heartbeat must have come before. */
  static async start(pool: pg.Pool): Promise<PendingWatch> {
    const tick = await takeTick(pool, 0)
    const { nonce } = tick
    if (nonce === null) throw await notSeen(pool, nonce)
    return new PendingWatch(pool, { ...tick, nonce })
  }

  /**
   * The lanes that still have something to settle. One that was once without stays without. Rejects with
   * `WAYBILL_STALE_INCARNATION` when the server has crashed or was promoted since: what was committed then can't be told.
   */
  async lanes(): Promise<number[]> {
    const pending: number[] = []
    // a change of shards may end between the list and the look: then lanes that were not listed have what the old ones left
    for (;;) {
      const floors = (await this.#floors()).filter(({ laneId }) => !this.#done.has(laneId))
      if (floors.length === 0) return pending
      for (const { laneId, floor } of floors) {
        if (await this.#hasPending(laneId, floor)) pending.push(laneId)
        else this.#done.add(laneId)
      }
      if (pending.length > 0) return pending
    }
  }

  async #floors(): Promise<LaneFloor[]> {
    const client = await this.#pool.connect()
    return laneFloors(client).finally(() => client.release())
  }

  async #hasPending(laneId: number, floor: number): Promise<boolean> {
    let low = Math.max(floor, this.#low.get(laneId) ?? 0)
    const { snapshot, ceiling, nonce } = this.#tick
    for (let span = firstSpan; ; span = Math.min(span * 2, lastSpan)) {
      const high = Math.min(low + span, ceiling)
      const values = [laneId, low, snapshot, high, pageRows]
      const seen = await readFenced<Row | { seq: null }>(this.#pool, pendingSql, values, nonce)
      const rows = seen.filter((row): row is Row => row.seq !== null)
      const first = rows.find((row) => shardOf(row.key, row.id, row.shards) === row.shard)
      if (first) {
        this.#low.set(laneId, first.seq - 1)
        return true
      }
      const last = rows.at(-1)
      if (last !== undefined && rows.length === pageRows) low = last.seq
      else if (high < ceiling) low = high
      else return false
    }
  }
}

/** How many deliveries will be tried again, and the milliseconds until the first. */
export async function countRetried(pool: pg.Pool): Promise<{ n: number; due: number }> {
  const { rows } = await pool.query<{ n: number; due: number | null }>(retriedSql)
  return { n: rows[0]?.n ?? 0, due: rows[0]?.due ?? 0 }
}
