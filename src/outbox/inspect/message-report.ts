import type pg from 'pg'
import { shardOf } from '../../core/shard.js'
import { loadSql } from '../../db/sql.js'
import { listParked, type ParkedDelivery } from './delivery-list.js'
import type { ParkedStateName } from '../../core/parked-state.js'

/** What became of a message at one destination. */
export type DestinationState =
  /** A receipt says so, or the lane's cursor is past it and nothing says otherwise. */
  | 'delivered'
  /** It lies before the lane's cursor. */
  | 'pending'
  | ParkedStateName
  /** An operator gave it up. */
  | 'dropped'
  /** It was past `maxHold`. */
  | 'expired'
  /** It was published before the destination began to read. */
  | 'skipped'
  /** It is older than the lane, and where that began is no longer stored. */
  | 'unknown'

/**
 * How that is known. `position`: by arithmetic, the lane's cursor is past it (and if its routes were widened after it was
 * published, it may not have been wanted then).
 */
export type Basis = 'parked' | 'receipt' | 'attempt' | 'position' | 'none'

export interface MessageAttempt {
  readonly at: Date
  readonly destination: string
  readonly attempt: number
  readonly outcome: string
  readonly code: string | null
  readonly message: string | null
  readonly durationMs: number | null
}

export interface MessageReceipt {
  readonly at: Date
  readonly destination: string
  readonly attempt: number
  readonly durationMs: number | null
  /** What the destination answered. */
  readonly receipt: unknown
}

export interface DestinationReportOfMessage {
  readonly destination: string
  readonly state: DestinationState
  readonly basis: Basis
  /** The parked delivery, where there is one. */
  readonly parked: ParkedDelivery | null
  readonly attempts: readonly MessageAttempt[]
  readonly receipts: readonly MessageReceipt[]
}

/** A message, and what became of it everywhere. */
export interface MessageReport {
  readonly id: string
  /** `scheduled`: it waits for its time. `gone`: past retention; what is left are attempts and receipts. */
  readonly place: 'log' | 'scheduled' | 'gone'
  readonly seq: number | null
  readonly topic: string | null
  readonly key: string | null
  /** The destinations that its publisher named; null: routes decide. */
  readonly named: readonly string[] | null
  readonly createdAt: Date | null
  /** When it is due, while it is scheduled. */
  readonly runAt: Date | null
  readonly destinations: readonly DestinationReportOfMessage[]
}

interface Found {
  readonly seq: number | null
  readonly xid: string | null
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly destinations: readonly string[] | null
  readonly createdAt: Date
  readonly runAt: Date | null
}

interface LanePlace {
  readonly destination: string
  readonly shard: number
  readonly shards: number
  readonly createdAt: Date
  readonly configured: boolean
  readonly wanted: boolean
  readonly passed: boolean
  readonly before: boolean | null
}

const findSql = loadSql(import.meta.url, './message_find.sql')
const lanesSql = loadSql(import.meta.url, './message_lanes.sql')
const attemptsSql = loadSql(import.meta.url, './attempt_list.sql')
const receiptsSql = loadSql(import.meta.url, './receipt_list.sql')
const payloadSql = loadSql(import.meta.url, './message_payload.sql')

/** More rows of one message than there are destinations. */
const manyRows = 10_000

/** Undefined when nothing knows of the message. As of one moment: `client` is inside a REPEATABLE READ transaction. */
export async function reportMessage(client: pg.ClientBase, id: string): Promise<MessageReport | undefined> {
  const found = (await client.query<Found>(findSql, [id])).rows[0]
  const attempts = (await client.query<MessageAttempt>(attemptsSql, [id])).rows
  const receipts = (await client.query<MessageReceipt>(receiptsSql, [id])).rows
  const parked = await listParked(client, { message: id }, manyRows)
  if (!found && attempts.length + receipts.length + parked.length === 0) return undefined
  const lanes = found?.seq == null ? [] : await lanesOf(client, found)
  const names = [...new Set([...lanes, ...parked, ...attempts, ...receipts].map((row) => row.destination))].sort()
  const destinations = names.map((destination): DestinationReportOfMessage => {
    const at = <T extends { readonly destination: string }>(rows: readonly T[]): T[] =>
      rows.filter((row) => row.destination === destination)
    const evidence = { parked: at(parked)[0] ?? null, attempts: at(attempts), receipts: at(receipts) }
    const [state, basis] = stateOf(evidence, at(lanes)[0], found?.createdAt)
    return { destination, state, basis, ...evidence }
  })
  return {
    id,
    place: found === undefined ? 'gone' : found.seq === null ? 'scheduled' : 'log',
    seq: found?.seq ?? null,
    topic: found?.topic ?? parked[0]?.topic ?? null,
    key: found?.key ?? parked[0]?.key ?? null,
    named: found?.destinations ?? null,
    createdAt: found?.createdAt ?? null,
    runAt: found?.runAt ?? null,
    destinations,
  }
}

/** Payload and headers as they were published, as text; undefined when they are no longer there. */
export async function readPayload(
  client: pg.ClientBase,
  id: string,
): Promise<{ readonly payload: string; readonly headers: string | null } | undefined> {
  return (await client.query<{ payload: string; headers: string | null }>(payloadSql, [id])).rows[0]
}

/** The lane of each destination that the message goes to. */
async function lanesOf(client: pg.ClientBase, message: Found): Promise<LanePlace[]> {
  const { rows } = await client.query<LanePlace>(lanesSql, [message.seq, message.xid, message.topic])
  return rows.filter((lane) => {
    const wanted = message.destinations ? message.destinations.includes(lane.destination) : lane.wanted
    return wanted && shardOf(message.key, message.id, lane.shards) === lane.shard
  })
}

interface Evidence {
  readonly parked: ParkedDelivery | null
  readonly attempts: readonly MessageAttempt[]
  readonly receipts: readonly MessageReceipt[]
}

function stateOf(
  { parked, attempts, receipts }: Evidence,
  lane: LanePlace | undefined,
  publishedAt: Date | undefined,
): [DestinationState, Basis] {
  if (parked) return [parked.state, 'parked']
  const given = attempts.filter((attempt) => attempt.outcome === 'dropped' || attempt.outcome === 'expired').at(-1)
  const receipt = receipts.at(-1)
  if (given && (!receipt || receipt.at < given.at))
    return [given.outcome === 'dropped' ? 'dropped' : 'expired', 'attempt']
  if (receipt) return ['delivered', 'receipt']
  if (attempts.at(-1)?.outcome === 'delivered') return ['delivered', 'attempt']
  if (!lane) return ['unknown', 'none']
  if (!lane.passed) return ['pending', 'position']
  if (lane.before === true) return ['skipped', 'position']
  const older = publishedAt !== undefined && publishedAt < lane.createdAt
  return lane.before === null && older ? ['unknown', 'none'] : ['delivered', 'position']
}
