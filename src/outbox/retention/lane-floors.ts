import type pg from 'pg'
import { WaybillError } from '../../core/errors.js'
import { hiddenRows } from '../../db/hidden-tables.js'
import { loadSql } from '../../db/sql.js'

export interface LaneFloor {
  readonly laneId: number
  readonly destination: string
  readonly shards: number
  /** The lane has read everything up to here. */
  readonly floor: number
  /** Lowest seq that is parked; null: none. */
  readonly parked: number | null
  /** The lane needs nothing up to here: neither unread nor parked. */
  readonly hold: number
}

interface Row {
  readonly lane_id: number | null
  readonly destination: string
  readonly shards: number
  readonly floor: number
  readonly parked: number | null
}

const floorsSql = loadSql(import.meta.url, './lane_floors.sql')

/**
 * How much of the log each lane still needs. Lanes of destinations that are no longer configured count too.
 * @throws WaybillError WAYBILL_ROWS_HIDDEN: what no lane seems to need would be dropped
 */
export async function laneFloors(client: pg.ClientBase): Promise<LaneFloor[]> {
  const { rows } = await client.query<Row>(floorsSql)
  if (rows.length === 0) {
    throw (
      (await hiddenRows(client)) ?? new WaybillError('WAYBILL_ROWS_HIDDEN', 'rows of lanes were hidden a moment ago')
    )
  }
  return rows.flatMap(({ lane_id: laneId, destination, shards, floor, parked }) => {
    if (laneId === null) return []
    return { laneId, destination, shards, floor, parked, hold: parked === null ? floor : Math.min(floor, parked - 1) }
  })
}

/** The lanes that need something below `upper`. */
export function lanesBelow(floors: readonly LaneFloor[], upper: number): LaneFloor[] {
  return floors.filter((lane) => lane.hold < upper - 1)
}
