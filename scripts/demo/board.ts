import type pg from 'pg'
import type { Destination } from './cast.js'
import type { Traffic } from './traffic.js'

/** One line of the live view. */
export interface BoardRow {
  readonly name: string
  readonly kind: string
  readonly published: number
  readonly received: number
  readonly parked: number
  readonly dead: number
  /** Messages before the lane's cursor, at most so many, and the age of the first. */
  readonly behind: number
  readonly behindSeconds: number
  /** Why the lane stands still, as a code. */
  readonly pause: string
}

interface LaneRow {
  readonly destination: string
  readonly parked: string
  readonly dead: string
  readonly behind: string
  readonly behind_seconds: number
  readonly pause: string | null
}

// What an operator would ask: two of Waybill's own views.
const lanesSql = `
  select s.destination, sum(s.retrying + s.held + s.in_flight)::text as parked, sum(s.dead)::text as dead,
         coalesce(sum(u.messages), 0)::text as behind,
         coalesce(extract(epoch from clock_timestamp() - min(u.since)), 0)::float8 as behind_seconds,
         string_agg(distinct s.pause_reason, '; ') as pause
    from waybill.lane_status s
    left join waybill.undelivered u on u.lane_id = s.lane_id and u.state = 'pending'
   group by s.destination`

/** What stands where right now: the lanes as the database tells it, the arrivals as the receivers do. */
export async function readBoard(
  pool: pg.Pool,
  destinations: readonly Destination[],
  traffic: Traffic | undefined,
): Promise<BoardRow[]> {
  const { rows } = await pool.query<LaneRow>(lanesSql)
  return Promise.all(
    destinations.map(async ({ name, kind, wants, arrivals }) => {
      const lane = rows.find((row) => row.destination === name)
      return {
        name,
        kind,
        published: traffic?.committed.filter(({ topic }) => wants(topic)).length ?? 0,
        received: new Set((await arrivals()).map(({ id }) => id)).size,
        parked: Number(lane?.parked ?? 0),
        dead: Number(lane?.dead ?? 0),
        behind: Number(lane?.behind ?? 0),
        behindSeconds: lane?.behind_seconds ?? 0,
        pause: lane?.pause?.split(':', 1)[0] ?? '',
      }
    }),
  )
}

/** Messages that Waybill itself says are not delivered. Jobs that no worker has performed count too. */
export async function countUndelivered(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ n: string }>(
    `select ((select count(*) from waybill.undelivered)
           + (select count(*) from waybill.jobs where state not in ('completed', 'cancelled', 'discarded')))::text as n`,
  )
  return Number(rows[0]?.n)
}
