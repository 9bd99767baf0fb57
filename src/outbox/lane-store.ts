import type pg from 'pg'
import { WaybillError, codeOf } from '../core/errors.js'
import { storableJson, storableText } from '../core/storable-text.js'
import { loadSql } from '../db/sql.js'
import { staleHolder, staleIncarnation } from '../db/sqlstate.js'
import type { Delta } from './delta.js'
import { notSeen, readFenced } from './fenced-read.js'

const positionSql = loadSql(import.meta.url, './sql/lane_position.sql')
const parkedSql = loadSql(import.meta.url, './sql/lane_parked.sql')
const droppedSql = loadSql(import.meta.url, './sql/lane_dropped.sql')
const pauseSql = loadSql(import.meta.url, './sql/lane_pause.sql')

/** Who writes for a lane. Every write is guarded by all of it, and fails when any part is stale. */
export interface LaneFence {
  readonly laneId: number
  readonly epoch: string
  readonly holder: string
  readonly nonce: string
}

export interface StoredPosition {
  readonly n: number
  readonly delta: Delta
  /** Read up to here within the delta. */
  readonly after: number
  readonly delivered: number
}

export type ParkedState = 'in_flight' | 'retrying' | 'held' | 'dead'

export interface StoredDelivery {
  readonly seq: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  readonly state: ParkedState
  readonly attempt: number
  readonly errorCode: string | null
  readonly dueInMs: number
}

/** A row that leaves the fast path, or changes while it is off it. `in`: milliseconds until its next attempt. */
export interface ParkedRow {
  readonly seq: number
  readonly id: string
  readonly state: ParkedState
  readonly attempt: number
  readonly in: number | null
  readonly code: string | null
  readonly error: string | null
  readonly fingerprint: string | null
}

/** Everything that one commit of a lane writes. Empty lists write nothing. */
export interface LaneCommit {
  readonly position: StoredPosition | null
  /** The position's delta has no row yet. */
  readonly newDelta: boolean
  readonly parked: readonly (ParkedRow & { readonly topic: string; readonly key: string | null })[]
  /** `was`: the attempts that the lane believes are charged. */
  readonly updated: readonly (ParkedRow & { readonly was: number })[]
  readonly settled: readonly { readonly seq: number; readonly id: string; readonly was: number }[]
  readonly attempts: readonly AttemptRow[]
  readonly receipts: readonly ReceiptRow[]
}

export interface AttemptRow {
  readonly id: string
  readonly seq: number
  readonly attempt: number
  readonly outcome: string
  readonly code: string | null
  readonly error: string | null
  readonly ms: number | null
}

export interface ReceiptRow {
  readonly id: string
  readonly seq: number
  readonly attempt: number
  readonly ms: number | null
  readonly receipt: Readonly<Record<string, unknown>> | null
}

/** Enough of a pool or of a client in a transaction. */
export interface Queryable {
  query<R extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<pg.QueryResult<R>>
}

/** A delta's columns, as the text that PostgreSQL sends. */
export interface DeltaRow {
  readonly from_snapshot: string
  readonly from_floor: string
  readonly running: readonly string[]
  readonly running_floors: readonly string[]
  readonly to_snapshot: string
  readonly to_floor: string
  readonly ceiling: string
  readonly generation: number
}

export function deltaFromRow(n: number, row: DeltaRow): Delta {
  const running = row.running.map((xid, i) => ({ xid, floor: Number(row.running_floors[i]) }))
  return {
    n,
    from: { snapshot: row.from_snapshot, floor: Number(row.from_floor), running },
    to: { snapshot: row.to_snapshot, floor: Number(row.to_floor), ceiling: Number(row.ceiling) },
    generation: row.generation,
  }
}

/** `nonce` null: the caller has locked the lane's row in this transaction. */
export async function loadPosition(db: Queryable, laneId: number, nonce: string | null): Promise<StoredPosition> {
  type Row = { n: string | null; after: string; delivered: string; delta: string | null } & DeltaRow
  const { rows } = await db.query<Row>(positionSql, [laneId, nonce])
  const row = rows[0]
  if (!row) throw await notSeen(db, nonce)
  if (row.n === null || row.delta === null)
    throw new WaybillError('WAYBILL_NOT_FOUND', `lane ${laneId} has no position; was its destination removed?`)
  return {
    n: Number(row.n),
    after: Number(row.after),
    delivered: Number(row.delivered),
    delta: deltaFromRow(Number(row.delta), row),
  }
}

export async function loadParked(db: Queryable, laneId: number, nonce: string): Promise<StoredDelivery[]> {
  const rows = await readFenced<{
    seq: string | null
    message_id: string
    topic: string
    key: string | null
    state: ParkedState
    attempt: number
    error_code: string | null
    due_in_ms: number | null
  }>(db, parkedSql, [laneId], nonce)
  if (rows[0]?.seq === null) return []
  return rows.map((r) => ({
    seq: Number(r.seq),
    id: r.message_id,
    topic: r.topic,
    key: r.key,
    state: r.state,
    attempt: r.attempt,
    errorCode: r.error_code,
    dueInMs: r.due_in_ms ?? 0,
  }))
}

/** Deliveries of the lane that operators dropped, as far back as the log goes: read again, they are not sent. */
export async function loadDropped(
  db: Queryable,
  laneId: number,
  nonce: string,
): Promise<{ seq: number; id: string }[]> {
  type Row = { seq: string | null; message_id: string }
  const rows = await readFenced<Row>(db, droppedSql, [laneId], nonce)
  if (rows[0]?.seq === null) return []
  return rows.map((row) => ({ seq: Number(row.seq), id: row.message_id }))
}

/** Ids and whole numbers need no quotes in an array; -1 stands for no time, as a null in one depends on array_nulls. Receipts are JSON texts, one a line. */
function receiptColumns(rows: readonly ReceiptRow[]): (string | null)[] {
  if (rows.length === 0) return [null, null, null, null, null]
  const column = (of: (row: ReceiptRow) => string | number | null): string => `{${rows.map(of).join(',')}}`
  return [
    column((row) => row.id),
    column((row) => row.seq),
    column((row) => row.attempt),
    column((row) => row.ms ?? -1),
    rows.map((row) => storableJson(row.receipt)).join('\n'),
  ]
}

const json = (rows: readonly unknown[]): string | null => (rows.length === 0 ? null : storableJson(rows))

/** The same commit without a text from outside: what a database refused for one of them it may take so. */
export function withoutTexts(commit: LaneCommit): LaneCommit {
  const plain = <Row extends ParkedRow | AttemptRow>(row: Row): Row => ({
    ...row,
    code: plainCode(row.code),
    error: row.error === null ? null : refusedText,
    ...('fingerprint' in row && { fingerprint: plainCode(row.code) }),
  })
  return {
    ...commit,
    parked: commit.parked.map(plain),
    updated: commit.updated.map(plain),
    attempts: commit.attempts.map(plain),
    receipts: commit.receipts.map((row) => ({ ...row, receipt: null })),
  }
}

const refusedText = 'the database refused the text of this failure'

function plainCode(code: string | null): string | null {
  return code === null || /^[A-Z0-9_]{1,64}$/.test(code) ? code : 'UNKNOWN'
}

/**
 * Commits what a lane did, in one round trip. Resolves to true when every parked row was still as the lane knew it;
 * false means that an operator acted on one, and the lane should read them again.
 * @throws WaybillError WAYBILL_STALE_HOLDER, WAYBILL_STALE_INCARNATION: nothing was written; the lane is another's, or
 * the database went back in time. Throw away what is in memory.
 */
export async function commitLane(db: Queryable, fence: LaneFence, commit: LaneCommit): Promise<boolean> {
  const { position } = commit
  const delta = commit.newDelta && position ? deltaJson(position.delta) : null
  try {
    const { rows } = await db.query<{ matched: number }>(
      `select waybill.lane_commit($1::int, $2::bigint, $3::uuid, $4::uuid, $5::bigint, $6::bigint, $7::bigint, $8::bigint,
         $9::jsonb, $10::jsonb, $11::jsonb, $12::jsonb, $13::jsonb,
         $14::uuid[], $15::bigint[], $16::int[], $17::int[], $18::text) as matched`,
      [
        fence.laneId,
        fence.epoch,
        fence.holder,
        fence.nonce,
        position?.n ?? null,
        position?.delta.n ?? null,
        position?.after ?? null,
        position?.delivered ?? null,
        delta,
        json(commit.parked),
        json(commit.updated),
        json(commit.settled),
        json(commit.attempts),
        ...receiptColumns(commit.receipts),
      ],
    )
    return rows[0]?.matched === commit.updated.length + commit.settled.length
  } catch (error) {
    throw staleError(error) ?? error
  }
}

function staleError(cause: unknown): WaybillError | undefined {
  const code = codeOf(cause)
  if (code === staleHolder) {
    return new WaybillError('WAYBILL_STALE_HOLDER', 'the lane was taken by another dispatcher', { cause })
  }
  if (code === staleIncarnation) {
    return new WaybillError('WAYBILL_STALE_INCARNATION', 'the database crashed or was promoted meanwhile', { cause })
  }
  return undefined
}

function deltaJson({ from, to, generation }: Delta): string {
  return JSON.stringify({
    from_snapshot: from.snapshot,
    from_floor: from.floor,
    running: `{${from.running.map((r) => r.xid).join(',')}}`,
    running_floors: `{${from.running.map((r) => r.floor).join(',')}}`,
    to_snapshot: to.snapshot,
    to_floor: to.floor,
    ceiling: to.ceiling,
    generation,
  })
}

/** Writes a lane's pause down, or its end (`pause` null). Resolves to false when the lane is no longer ours. */
export async function writePause(
  db: Queryable,
  fence: Omit<LaneFence, 'nonce'>,
  pause: { readonly kind: string; readonly reason: string } | null,
): Promise<boolean> {
  const { rowCount } = await db.query(pauseSql, [
    fence.laneId,
    fence.epoch,
    fence.holder,
    pause?.kind ?? null,
    pause ? storableText(pause.reason) : null,
  ])
  return rowCount === 1
}
