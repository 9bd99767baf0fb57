import type pg from 'pg'
import { listPartitions } from '../partitions/range-table.js'
import { measureTip } from '../partitions/width.js'
import { laneFloors } from './lane-floors.js'
import { isPast } from './partition-age.js'

export interface HeldBack {
  readonly laneId: number
  readonly destination: string
  /** The lane needs nothing up to this seq. */
  readonly floorSeq: number
  /** True when not the cursor but a parked delivery holds it. */
  readonly byParked: boolean
  /** Ranges past retention that can't be dropped for this lane. */
  readonly partitions: readonly string[]
  readonly bytes: number
  /** Of the first message above floorSeq. */
  readonly oldest: Date | null
}

export interface HeldBackReport {
  readonly lanes: readonly HeldBack[]
  /** What the log grows by in a day, at the pace of late, were nothing dropped. */
  readonly bytesPerDay: number
  /** At that pace, until the given disk is full; null: no size given, or it does not grow. */
  readonly daysUntilFull: number | null
}

export interface HeldBackOptions {
  readonly retentionMs: number
  /** Size of the database's disk, bytes. */
  readonly diskBytes?: number
}

/** Which lane keeps what from being dropped, and how long that can go on. */
export async function heldBack(
  client: pg.ClientBase,
  { retentionMs, diskBytes }: HeldBackOptions,
): Promise<HeldBackReport> {
  const tip = await measureTip(client)
  const ranges = await listPartitions(client)
  const passed = ranges.filter((range) => range.upper !== null && range.upper - 1 <= tip.seq)
  const past = []
  for (const range of passed) if (await isPast(client, range, retentionMs)) past.push(range)
  const lanes: HeldBack[] = []
  for (const lane of await laneFloors(client)) {
    const held = past.filter((range) => lane.hold < (range.upper ?? Infinity) - 1)
    if (held.length === 0) continue
    lanes.push({
      laneId: lane.laneId,
      destination: lane.destination,
      floorSeq: lane.hold,
      byParked: lane.hold < lane.floor,
      partitions: held.map((range) => range.name),
      bytes: held.reduce((sum, range) => sum + range.bytes, 0),
      oldest: await firstAbove(client, lane.hold, tip.seq),
    })
  }
  const first = ranges.find((range) => !range.empty)
  const seqs = Math.max(1, tip.seq - Math.max(1, first?.lower ?? 1) + 1)
  const bytesPerDay = Math.round((ranges.reduce((sum, range) => sum + range.bytes, 0) / seqs) * tip.perDay)
  return { lanes, bytesPerDay, daysUntilFull: await daysUntilFull(client, bytesPerDay, diskBytes) }
}

async function firstAbove(client: pg.ClientBase, seq: number, tip: number): Promise<Date | null> {
  const { rows } = await client.query<{ created_at: Date }>(
    'select m.created_at from waybill.messages m where m.seq > $1::bigint and m.seq <= $2::bigint order by m.seq limit 1',
    [seq, tip],
  )
  return rows[0]?.created_at ?? null
}

async function daysUntilFull(
  client: pg.ClientBase,
  bytesPerDay: number,
  diskBytes: number | undefined,
): Promise<number | null> {
  if (diskBytes === undefined || bytesPerDay <= 0) return null
  const { rows } = await client.query<{ size: string }>('select pg_database_size(current_database())::text as size')
  return Math.max(0, (diskBytes - Number(rows[0]?.size)) / bytesPerDay)
}
