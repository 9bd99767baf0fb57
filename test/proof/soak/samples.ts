import { readdir } from 'node:fs/promises'
import { withClient } from '../../support/with-client.js'
import type { Fleet, Memory } from '../fleet.js'

/** Of a dispatcher that is never killed. */
export interface ProcessSample extends Memory {
  readonly dispatcher: number
  /** Open file descriptors. */
  readonly descriptors: number
}

export interface TableSample {
  readonly name: string
  readonly rows: number
  /** With its indexes. */
  readonly bytes: number
  readonly dead: number
}

export interface Sample {
  /** Since the load began. */
  readonly atMs: number
  readonly processes: readonly ProcessSample[]
  /** Memory was looked at in the state that `atRest` makes. */
  readonly atRest: boolean
  readonly tables: readonly TableSample[]
  /** Positions stored so far, all lanes together. */
  readonly positions: number
  /** Sessions of the dispatchers. */
  readonly sessions: number
  /** Messages behind the tip, of the lane that is furthest behind. */
  readonly lag: number
  /** Of the proof's own process, which holds what arrived. */
  readonly checkerRss: number
}

/** Tables whose rows come and go; the log, receipts and attempts grow until their time is up. */
const tables = ['lanes', 'deliveries', 'positions', 'deltas', 'planned_deltas', 'dispatchers', 'incarnations']

/** Of the database: for a quiet moment. */
export type DatabaseSample = Pick<Sample, 'tables' | 'positions' | 'sessions' | 'lag'>

/** Of the dispatchers that are never killed; one that is frozen does not answer. */
export async function lookAtProcesses(fleet: Fleet): Promise<ProcessSample[]> {
  const processes: ProcessSample[] = []
  for (let dispatcher = 0; dispatcher < fleet.spared; dispatcher++) {
    const memory = await fleet.memory(dispatcher)
    const descriptors = (await readdir(`/proc/${fleet.pid(dispatcher)}/fd`)).length
    processes.push({ dispatcher, descriptors, ...memory })
  }
  return processes
}

export async function lookAtDatabase(url: string): Promise<DatabaseSample> {
  const counted = tables.map((name) => `select '${name}' as name, count(*)::int as rows from waybill.${name}`)
  return withClient(url, async (client) => {
    const sizes = await client.query<TableSample>(
      `select c.name, c.rows, pg_total_relation_size(r.oid)::float8 as bytes, coalesce(s.n_dead_tup, 0)::int as dead
         from (${counted.join(' union all ')}) c
         join pg_class r on r.relname = c.name and r.relnamespace = 'waybill'::regnamespace
         left join pg_stat_user_tables s on s.relid = r.oid`,
    )
    const { rows } = await client.query<{ positions: number; sessions: number }>(
      `select (select sum(p.n)::float8 from (select max(n) as n from waybill.positions group by lane_id) p) as positions,
              (select count(*)::int from pg_stat_activity where application_name like 'waybill%') as sessions`,
    )
    const { positions = 0, sessions = 0 } = rows[0] ?? {}
    return { tables: sizes.rows, positions, sessions, lag: await lagOf(client) }
  })
}

interface Client {
  query<Row extends object>(sql: string): Promise<{ rows: Row[] }>
}

/** Messages behind the tip, of the lane that is furthest behind. */
export async function lagOf(client: Client): Promise<number> {
  const { rows } = await client.query<{ lag: number }>(
    'select max(lag_messages)::float8 as lag from waybill.lane_status',
  )
  return rows[0]?.lag ?? 0
}
