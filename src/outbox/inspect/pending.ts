import type pg from 'pg'
import { shardOf } from '../../core/shard.js'
import { loadSql } from '../../db/sql.js'
import { laneFloors } from '../retention/lane-floors.js'
import { takeTick } from '../tick.js'

const pendingSql = loadSql(import.meta.url, './lane_pending.sql')
const retriedSql = loadSql(import.meta.url, './delivery_retried.sql')
const pageRows = 1000

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
  readonly #snapshot: string
  readonly #ceiling: number
  /** By lane: nothing up to here is pending. */
  readonly #low = new Map<number, number>()
  readonly #done = new Set<number>()

  private constructor(pool: pg.Pool, snapshot: string, ceiling: number) {
    this.#pool = pool
    this.#snapshot = snapshot
    this.#ceiling = ceiling
  }

  /** Of what is committed now. */
  static async start(pool: pg.Pool): Promise<PendingWatch> {
    const { snapshot, ceiling } = await takeTick(pool, 0)
    return new PendingWatch(pool, snapshot, ceiling)
  }

  /** The lanes that still have something to settle. One that was once without stays without. */
  async lanes(): Promise<number[]> {
    const client = await this.#pool.connect()
    const floors = await laneFloors(client).finally(() => client.release())
    const pending: number[] = []
    for (const { laneId, floor } of floors) {
      if (this.#done.has(laneId)) continue
      if (await this.#hasPending(laneId, floor)) pending.push(laneId)
      else this.#done.add(laneId)
    }
    return pending
  }

  async #hasPending(laneId: number, floor: number): Promise<boolean> {
    let low = Math.max(floor, this.#low.get(laneId) ?? 0)
    for (;;) {
      const { rows } = await this.#pool.query<Row>(pendingSql, [laneId, low, this.#snapshot, this.#ceiling, pageRows])
      const first = rows.find((row) => shardOf(row.key, row.id, row.shards) === row.shard)
      if (first) {
        this.#low.set(laneId, first.seq - 1)
        return true
      }
      const last = rows.at(-1)
      if (last === undefined || rows.length < pageRows) return false
      low = last.seq
    }
  }
}

/** How many deliveries will be tried again, and the milliseconds until the first. */
export async function countRetried(pool: pg.Pool): Promise<{ n: number; due: number }> {
  const { rows } = await pool.query<{ n: number; due: number | null }>(retriedSql)
  return { n: rows[0]?.n ?? 0, due: rows[0]?.due ?? 0 }
}
