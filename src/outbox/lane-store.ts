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

/** A lane's commit, and who makes it. */
export interface FencedCommit {
  readonly fence: LaneFence
  readonly commit: LaneCommit
}

/**
 * Commits what a lane did, in one round trip. Waits for the lane's row. Resolves to true when every parked row was still as the
 * lane knew it; false means that an operator acted on one, and the lane should read them again.
 * @throws WaybillError WAYBILL_STALE_HOLDER, WAYBILL_STALE_INCARNATION: nothing was written; the lane is another's, or
 * the database went back in time. Throw away what is in memory.
 */
export async function commitLane(db: Queryable, fence: LaneFence, commit: LaneCommit): Promise<boolean> {
  try {
    const [inStep] = await commitAll(db, [{ fence, commit }], true)
    return inStep as boolean
  } catch (error) {
    throw staleError(error) ?? error
  }
}

/**
 * The same for several lanes, all in one round trip and one transaction. Waits for no lane's row: undefined stands for a lane
 * of which nothing was written, as its row is locked or its fence is stale. An error: nothing was written for any.
 */
export function commitLanes(db: Queryable, commits: readonly FencedCommit[]): Promise<(boolean | undefined)[]> {
  return commitAll(db, commits, false)
}

async function commitAll(db: Queryable, all: readonly FencedCommit[], wait: boolean): Promise<(boolean | undefined)[]> {
  const { rows } = await db.query<{ matched: (number | null)[] }>(
    `select waybill.lanes_commit($1::boolean, $2::int[], $3::bigint[], $4::uuid[], $5::uuid[],
       $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::jsonb, $11::jsonb, $12::jsonb, $13::jsonb, $14::jsonb,
       $15::int[], $16::uuid[], $17::bigint[], $18::int[], $19::int[], $20::text) as matched`,
    [
      wait,
      array(all, ({ fence }) => fence.laneId),
      array(all, ({ fence }) => fence.epoch),
      array(all, ({ fence }) => fence.holder),
      array(all, ({ fence }) => fence.nonce),
      array(all, ({ commit }) => commit.position?.n),
      array(all, ({ commit }) => commit.position?.delta.n),
      array(all, ({ commit }) => commit.position?.after),
      array(all, ({ commit }) => commit.position?.delivered),
      objects(all, ({ position, newDelta }) => (newDelta && position ? [deltaObject(position.delta)] : [])),
      objects(all, (commit) => commit.parked),
      objects(all, (commit) => commit.updated),
      objects(all, (commit) => commit.settled),
      objects(all, (commit) => commit.attempts),
      ...receiptColumns(all),
    ],
  )
  const matched = rows[0]?.matched ?? []
  return all.map(({ commit: { updated, settled } }, i) => {
    const of = matched[i] ?? undefined
    return of === undefined ? undefined : of === updated.length + settled.length
  })
}

/** An array's text. Ids and whole numbers need no quotes in it; -1 stands for none, as a null in it depends on `array_nulls`. */
function array<T>(all: readonly T[], of: (each: T) => string | number | null | undefined): string {
  return `{${all.map((each) => of(each) ?? -1).join(',')}}`
}

/** A list of objects, each with its lane; null for none. */
function objects(all: readonly FencedCommit[], of: (commit: LaneCommit) => readonly object[]): string | null {
  const rows = all.flatMap(({ fence, commit }) => of(commit).map((row) => ({ lane: fence.laneId, ...row })))
  return rows.length === 0 ? null : storableJson(rows)
}

function receiptColumns(all: readonly FencedCommit[]): (string | null)[] {
  const receipts = all.flatMap(({ fence, commit }) => commit.receipts.map((row) => ({ lane: fence.laneId, row })))
  if (receipts.length === 0) return [null, null, null, null, null, null]
  return [
    array(receipts, ({ lane }) => lane),
    array(receipts, ({ row }) => row.id),
    array(receipts, ({ row }) => row.seq),
    array(receipts, ({ row }) => row.attempt),
    array(receipts, ({ row }) => row.ms),
    receipts.map(({ row }) => storableJson(row.receipt)).join('\n'),
  ]
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

function deltaObject({ n, from, to, generation }: Delta): object {
  return {
    n,
    from_snapshot: from.snapshot,
    from_floor: from.floor,
    running: `{${from.running.map((r) => r.xid).join(',')}}`,
    running_floors: `{${from.running.map((r) => r.floor).join(',')}}`,
    to_snapshot: to.snapshot,
    to_floor: to.floor,
    ceiling: to.ceiling,
    generation,
  }
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
