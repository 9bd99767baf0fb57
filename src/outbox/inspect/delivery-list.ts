import type pg from 'pg'
import type { ParkedStateName } from '../../core/parked-state.js'
import { loadSql } from '../../db/sql.js'

/** Which parked deliveries; all that is given must fit. */
export interface DeliveryFilter {
  /** uuid of the message */
  readonly message?: string | undefined
  readonly destination?: string | undefined
  readonly topic?: string | undefined
  readonly key?: string | undefined
  readonly state?: ParkedStateName | undefined
  /** Failures that differ only in numbers and ids have one fingerprint. */
  readonly fingerprint?: string | undefined
}

/** A delivery that left the fast path. */
export interface ParkedDelivery {
  readonly destination: string
  readonly state: ParkedStateName
  /** Of the message. */
  readonly id: string
  readonly seq: number
  readonly topic: string
  readonly key: string | null
  /** Attempts charged so far. */
  readonly attempt: number
  readonly nextAttemptAt: Date | null
  readonly errorCode: string | null
  readonly error: string | null
  readonly fingerprint: string | null
  /** When it was parked. */
  readonly since: Date
}

/** The first message that lies before a lane's cursor; or the first of the log, where no destination is deployed. */
export interface PendingMessage {
  /** Empty where none is deployed. */
  readonly destination: string
  readonly state: 'pending' | 'undeployed'
  readonly id: string
  readonly seq: number
  readonly topic: string
  readonly key: string | null
  /** Why the lane is paused, when it is. */
  readonly errorCode: string | null
  readonly error: string | null
  /** When it was published. */
  readonly since: Date
  /** How far the lane is behind: an upper bound of what it has to deliver. */
  readonly messages: number
}

export interface DeliveryCount {
  readonly destination: string
  readonly state: ParkedStateName
  readonly fingerprint: string | null
  readonly n: number
}

const listSql = loadSql(import.meta.url, './delivery_list.sql')
const countSql = loadSql(import.meta.url, './delivery_count.sql')
const pendingSql = loadSql(import.meta.url, './pending_list.sql')

type Database = pg.Pool | pg.ClientBase

export async function listParked(db: Database, filter: DeliveryFilter, limit: number): Promise<ParkedDelivery[]> {
  return (await db.query<ParkedDelivery>(listSql, [...filterValues(filter), limit])).rows
}

export async function countParked(db: Database, filter: DeliveryFilter): Promise<DeliveryCount[]> {
  return (await db.query<DeliveryCount>(countSql, filterValues(filter))).rows
}

/** One row for each lane that is behind, or one of state `undeployed`, whatever is asked for. Looks at 1,000 messages of each lane at most, however far behind it is. */
export async function listPending(
  db: Database,
  { destination, topic, key }: Pick<DeliveryFilter, 'destination' | 'topic' | 'key'>,
): Promise<PendingMessage[]> {
  return (await db.query<PendingMessage>(pendingSql, [destination ?? null, topic ?? null, key ?? null])).rows
}

/** In the order of the parameters of `delivery_list.sql` and of `waybill.retry`. */
export function filterValues(filter: DeliveryFilter): (string | null)[] {
  const { message, destination, topic, key, state, fingerprint } = filter
  return [message, destination, topic, key, state, fingerprint].map((value) => value ?? null)
}
