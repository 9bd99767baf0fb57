/**
 * Readers rely on the log's sequence: `cache 1`, no cycle, and never set back. With `cache 20`, 3,008 of 5,442 messages
 * were lost without an error; a `setval` back does the same, and so does a switch-over by logical replication, which copies
 * no sequences. `checkSequence` is for the start and for every minute: when it finds a problem, pause all lanes, say so, and
 * call `mendSequence`.
 *
 * What was published meanwhile lies below the lanes' floors, where they never look: it is committed and would never be
 * delivered. It can still be told apart, because transaction ids were not set back: a transaction that a stored snapshot
 * does not know must have its seqs above that tick's floor. `mendSequence` searches what is stored of each lane (its latest
 * 100 positions: nothing of an idle lane is lost to time) and answers, for each lane that missed something, with a `floor`
 * and a `snapshot`: the lane must read once more everything above that floor that is not visible in that snapshot, that
 * is, go on with a delta whose `from` is { snapshot, floor }. What it had delivered since that snapshot comes again:
 * duplicates, never a loss. Message ids are not made of seqs, so consumers still tell all of them apart.
 */
import type pg from 'pg'
import { WaybillError } from '../core/errors.js'
import { takeLock } from '../db/lock.js'
import { loadSql } from '../db/sql.js'
import { attemptUnderLock, type LockOptions } from './partitions/lock-attempts.js'
import { messagesTable } from './partitions/range-table.js'
import { beginSql, queryUncompiled } from '../db/transaction.js'

export interface SequenceProblem {
  readonly kind: 'cache' | 'cycle' | 'increment' | 'behind'
  readonly message: string
}

export type SequenceCheck =
  | { readonly ok: true; readonly last: number }
  | {
      readonly ok: false
      readonly last: number
      /** What `last` must have reached. */
      readonly least: number
      readonly problems: readonly SequenceProblem[]
    }

export interface Reread {
  readonly laneId: number
  /** Read everything above this … */
  readonly floor: number
  /** … that is not visible in this snapshot. */
  readonly snapshot: string
}

export interface MendReport {
  readonly before: SequenceCheck
  readonly after: SequenceCheck
  /** Lowest seq that was given a second time and that a lane would have missed; null: none is known. */
  readonly lowestReused: number | null
  readonly reread: readonly Reread[]
}

export interface MendOptions extends LockOptions {
  /** Seqs to leave free above the greatest that is known. Default 1,000. */
  readonly margin?: number
}

interface Row {
  readonly last: number
  readonly least: number
  readonly cache: number
  readonly cycle: boolean
  readonly increment: number
}

const checkSql = loadSql(import.meta.url, './sequence_check.sql')
const reusedSql = loadSql(import.meta.url, './sequence_reused.sql')

/** Whether the sequence is as readers need it. Costs a few index probes. */
export async function checkSequence(client: pg.ClientBase | pg.Pool): Promise<SequenceCheck> {
  const { rows } = await client.query<Row>(checkSql)
  const row = rows[0]
  if (row === undefined)
    throw new WaybillError('WAYBILL_SCHEMA_MISSING', 'waybill.message_seq is not there; run `waybill migrate`')
  const problems = problemsOf(row)
  const { last, least } = row
  return problems.length === 0 ? { ok: true, last } : { ok: false, last, least, problems }
}

function problemsOf({ last, least, cache, cycle, increment }: Row): SequenceProblem[] {
  const problems: SequenceProblem[] = []
  const add = (wrong: boolean, kind: SequenceProblem['kind'], message: string): void => {
    if (wrong) problems.push({ kind, message: `waybill.message_seq ${message}` })
  }
  add(
    cache !== 1,
    'cache',
    `has cache ${cache}: sessions draw seqs out of order, and readers lose messages; it must be 1`,
  )
  add(cycle, 'cycle', 'cycles: it would use seqs again; it must not')
  add(increment !== 1, 'increment', `has increment ${increment}; it must be 1`)
  add(
    last < least,
    'behind',
    `stands at ${last}, but ${least} was used: it was set back, or not copied in a switch-over`,
  )
  return problems
}

/**
 * Sets the sequence right, writes that to waybill.audit (action `mend_sequence`), and finds what was published below the
 * lanes' floors. Does nothing when nothing is wrong. Call it while all lanes are paused; needs the sequence's owner.
 */
export async function mendSequence(client: pg.ClientBase, options: MendOptions = {}): Promise<MendReport> {
  const before = await checkSequence(client)
  if (before.ok) return { before, after: before, lowestReused: null, reread: [] }
  await advance(client, options.margin ?? 1000)
  if (before.problems.some((problem) => problem.kind !== 'behind')) await restoreOptions(client, options)
  const reread = await findReread(client)
  const lowestReused = reread.length === 0 ? null : Math.min(...reread.map((lane) => lane.floor)) + 1
  return { before, after: await checkSequence(client), lowestReused, reread }
}

/** Lanes that missed something because seqs were used again, by what is stored of them: empty when none did. */
export async function findReread(client: pg.ClientBase): Promise<Reread[]> {
  const rows = await queryUncompiled<{ lane_id: number; floor: number; snapshot: string }>(client, reusedSql)
  return rows.map(({ lane_id, floor, snapshot }) => ({ laneId: lane_id, floor, snapshot }))
}

/**
 * Forward only. No lock of the table: it would have to wait for every publisher, and each that goes on meanwhile may be
 * lost. Two menders are kept apart, so that the second sees what the first did and does not set it back again.
 */
async function advance(client: pg.ClientBase, margin: number): Promise<void> {
  await client.query(beginSql)
  try {
    await takeLock(client, 'sequence')
    const check = await checkSequence(client)
    if (!check.ok) {
      const { last, least, problems } = check
      const to = last < least ? least + margin : last
      if (to > last) await client.query(`select setval('waybill.message_seq', $1::bigint)`, [to])
      await client.query(`insert into waybill.audit (action, target, reason) values ('mend_sequence', $1, $2)`, [
        JSON.stringify({ from: last, least, to }),
        problems.map((problem) => problem.message).join('; '),
      ])
    }
    await client.query('commit')
  } catch (error) {
    // a connection that is gone has rolled back by itself
    await client.query('rollback').catch(() => undefined)
    throw error
  }
}

/** RESTART gives the sequence a new file, which is what makes other sessions forget the seqs that they have cached. */
async function restoreOptions(client: pg.ClientBase, options: MendOptions): Promise<void> {
  const changed = await attemptUnderLock(client, messagesTable, { ...options, yieldToHolders: false }, async () => {
    await client.query('alter sequence waybill.message_seq cache 1 increment 1 no cycle')
    // the sequence is locked from here on
    const { last, least } = { least: 0, ...(await checkSequence(client)) }
    await client.query(
      `alter sequence waybill.message_seq restart with ${Math.max(last, least) + (options.margin ?? 1000)}`,
    )
  })
  if ('busy' in changed) {
    throw new WaybillError(
      'WAYBILL_SEQUENCE_BEHIND',
      `waybill.message_seq could not be altered: transactions that have published hold it (${changed.busy.join(', ')}). Try again when they have ended, or run: alter sequence waybill.message_seq cache 1 increment 1 no cycle`,
    )
  }
}
