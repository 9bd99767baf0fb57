import type pg from 'pg'
import { WaybillError, codeOf } from '../core/errors.js'
import { inRecovery } from '../db/sqlstate.js'
import type { Tick } from './delta.js'
import { notSeen } from './fenced-read.js'

/** A tick, and what a dispatcher checks with it. */
export interface TakenTick extends Tick {
  /** The newest configuration that is deployed, as of the snapshot; 0: none is. */
  readonly generation: number
  /** Of `waybill.incarnation`; null after a crash or a promotion, until a heartbeat draws a new one. */
  readonly nonce: string | null
  /** WAL position behind the commits of everything that the snapshot sees. */
  readonly lsn: string
  /** All before `lsn` is on disk already. */
  readonly flushed: boolean
  /**
   * The sequence's last value before the tick's own xid was drawn, exact: read with the lock of its page. Whoever the snapshot does not know draws greater
   * ones: while the sequence stands here and what ran in the snapshot still runs, there is nothing new. `ceiling` would
   * not do, nor would a look behind the xid: a transaction that draws its xid and its seq before that look lies below it,
   * unknown to the snapshot, and its end would be noticed by nobody.
   */
  readonly drawn: number
}

/**
 * Takes a tick, in one round trip of two transactions. The first probes the greatest visible seq and draws an xid, and
 * ends; the second takes the snapshot and, after it, the sequence's last value. Every xid that the snapshot does not
 * know was then drawn after the probe, and as writers draw the xid before the seq, what they write lies above it.
 *
 * `floor`: the floor of an earlier tick, or the greatest seq that was read; the probe looks above it only. `probe` false: it
 * is the floor of this tick too, which is right however low it is, and saves the database half of a tick.
 */
export async function takeTick(pool: pg.Pool, floor: number, probe = true): Promise<TakenTick> {
  if (!Number.isSafeInteger(floor)) throw new RangeError(`floor ${floor} is not a safe integer`)
  const client = await pool.connect()
  let failed = true
  try {
    const results = (await client.query({
      text: tickSql(floor, probe),
      rowMode: 'array',
    })) as unknown as pg.QueryArrayResult<(string | boolean | null)[]>[]
    failed = false
    const probed = results[1]?.rows[0]
    const [snapshot, recovery, last, inserted, flushedTo, nonce, generation] = results[4]?.rows[0] ?? []
    if (recovery !== false) throw standby()
    const ceiling = Number(last)
    if (!Number.isSafeInteger(ceiling)) throw new RangeError(`sequence value ${String(last)} is beyond 2^53`)
    const lsn = seenUpTo(probed?.[3] as string, inserted as string)
    return {
      snapshot: snapshot as string,
      floor: Math.max(floor, Number(probed?.[0])),
      ceiling,
      generation: Number(generation),
      nonce: nonce as string | null,
      lsn,
      flushed: parseLsn(flushedTo as string) >= parseLsn(lsn),
      drawn: Number(probed?.[1]),
    }
  } catch (error) {
    // 25006 read_only_sql_transaction, 55000 object_not_in_prerequisite_state: what a stand-by answers
    if (codeOf(error) === '25006' || codeOf(error) === '55000' || codeOf(error) === inRecovery) throw standby(error)
    throw error
  } finally {
    client.release(failed)
  }
}

/** Two commit records are longer, whatever they commit; a transaction that has an xid writes one. */
const twoCommits = 80n

/**
 * The WAL position that must be on disk. Between `before` and `after` the tick's own transaction wrote its commit record,
 * which nobody waits to see flushed; where there is no room for the commit of another, `before` will do.
 */
function seenUpTo(before: string, after: string): string {
  return parseLsn(after) - parseLsn(before) < twoCommits ? before : after
}

/** `16/B374D848` as a number. */
export function parseLsn(lsn: string): bigint {
  const [high = '', low = ''] = lsn.split('/')
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`)
}

function standby(cause?: unknown): WaybillError {
  return new WaybillError(
    'WAYBILL_DATABASE_IN_RECOVERY',
    'the database is in recovery: a stand-by takes running transactions for finished; connect to the primary',
    { cause },
  )
}

/**
 * The greatest seq that was drawn, exactly. A look at the sequence as a relation takes no lock of its page, and was up to 32 too
 * high in 3 of 10,000 looks while others did nothing but draw: what hides a look because nothing was drawn may not rely on it.
 * The function gives null where nothing was drawn since the sequence was set; the row was read before it was asked.
 */
const drawnSql = `(select coalesce(pg_sequence_last_value('waybill.message_seq'), s.last_value - 1)::text from waybill.message_seq s)`

// The columns of the first statement are evaluated in their order: the look at the sequence comes before the xid. The last
// two statements are one transaction, whose lock is there before its snapshot: a deployment excludes it (`deploy`), so that
// no tick comes between a deployment's barrier and its commit, and every later one names the new generation.
const tickSql = (floor: number, probe: boolean): string => `begin isolation level read committed;
select ${probe ? `coalesce((select m.seq from waybill.messages m where m.seq > ${floor} order by m.seq desc limit 1), ${floor})` : floor}::text,
       ${drawnSql},
       pg_current_xact_id()::text,
       pg_current_wal_insert_lsn()::text;
commit;
lock table waybill.configurations in row share mode;
select pg_current_snapshot()::text, pg_is_in_recovery(),
       (case when s.is_called then s.last_value else s.last_value - 1 end)::text,
       pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text, (select i.nonce::text from waybill.incarnation i),
       coalesce((select c.generation::text from waybill.configurations c order by c.generation desc limit 1), '0')
  from waybill.message_seq s`

// A tick that was taken before any dispatcher's heartbeat has no nonce.
const sameServer = (nonce: string): string =>
  `(${nonce}::uuid is null or exists (select from waybill.incarnation i where i.nonce = ${nonce}::uuid))`

/** What shows, in one statement that writes nothing, whether a tick could find anything new. */
export interface Glance {
  /** The sequence's last value, as exact as a tick's `drawn`. */
  readonly drawn: number
  /** `pg_snapshot` as text. */
  readonly snapshot: string
  /** Of the server that answered. A stand-by can't: unlogged tables are not to be read there. */
  readonly nonce: string | null
}

export async function glance(pool: pg.Pool): Promise<Glance> {
  const { rows } = await pool.query<{ drawn: string; snapshot: string; nonce: string | null }>(
    `select ${drawnSql} as drawn, pg_current_snapshot()::text as snapshot,
            (select i.nonce::text from waybill.incarnation i) as nonce`,
  )
  const { drawn, ...seen } = rows[0] as { drawn: string; snapshot: string; nonce: string | null }
  return { ...seen, drawn: Number(drawn) }
}

/**
 * Resolves when everything that the tick's snapshot sees is on disk. A message can be visible before it is durable
 * (`synchronous_commit = off` publishers): a crash took back 20 messages that had been handed out. Nearly always one
 * look; otherwise a synchronous commit of our own flushes what lies before it. Rejects where the server is another by now:
 * how far its own log is on disk says nothing of the tick's.
 */
export async function whenDurable(pool: pg.Pool, { lsn, nonce }: Pick<TakenTick, 'lsn' | 'nonce'>): Promise<void> {
  const { rows } = await pool.query<{ flushed: boolean }>(
    `select pg_current_wal_flush_lsn() >= $1::pg_lsn as flushed where ${sameServer('$2')}`,
    [lsn, nonce],
  )
  if (rows[0] === undefined) throw await notSeen(pool, nonce)
  if (rows[0].flushed) return
  const { rowCount } = await pool.query(
    `with on_disk as (select set_config('synchronous_commit', 'on', true))
     select pg_logical_emit_message(true, 'waybill', '') from on_disk where ${sameServer('$1')}`,
    [nonce],
  )
  if (rowCount === 0) throw await notSeen(pool, nonce)
}
