/**
 * A logical dump restored into another cluster, and a switch-over by logical replication, bring positions whose
 * snapshots and xids are the old server's. Among themselves and with the xids that messages carry they are as good as
 * before; with transactions of this server they must not be compared. So each lane
 *   1. ends the delta that it was reading, in the old terms;
 *   2. reads what its last snapshot did not see, in the old terms, up to that tick's ceiling;
 *   3. reads everything above that ceiling, whoever wrote it, up to a tick of this server;
 *   4. goes on from that tick.
 * A sequence's values come with a dump, so what is published here lies above every stored ceiling: nothing is lost, and
 * what comes twice at most is what was open here at the tick and ended while 3 read.
 *
 * Publishers set a sequence right that was not brought along. Where they could not tell and seqs were given out again, what
 * the old server left is read to its end first, then everything from the start: among it, for the first time, what was
 * published here with those seqs. So most keys keep their order; where xids of the two servers overlap, not all.
 */
import type pg from 'pg'
import { assertRowsSeen } from '../db/hidden-tables.js'
import { takeLock } from '../db/lock.js'
import { loadSql } from '../db/sql.js'
import { inTransaction, uncompiledSql } from '../db/transaction.js'
import { mergeBarriers } from './barriers/barrier-store.js'
import { type Delta, everythingBetween, readAgainUpTo, standingAfter, whole } from './delta.js'
import { loadPosition } from './lane-store.js'
import { planDeltas } from './position-store.js'
import { restartReshardOf } from './reshard.js'
import { mendSequence } from './sequence-guard.js'
import { type TakenTick, takeTick, whenDurable } from './tick.js'

const lanesSql = loadSql(import.meta.url, './sql/rebase_lanes.sql')
const identitiesSql = loadSql(import.meta.url, './sql/identities_mend.sql')

export interface RebaseReport {
  /** Lanes that were given a way from the old server's terms to this one's. */
  readonly lanes: readonly number[]
  /** Of those, lanes that read all of the log again. */
  readonly fromStart: readonly number[]
  /** Messages up to this seq may carry xids of the old server. */
  readonly boundary: number
}

/**
 * Whether the stored positions are in this server's terms; where they are, says so again. Rebases the lanes where they
 * are not. Call it before anything reads the log: at the start, and whenever the incarnation has changed. Resolves to
 * undefined when there was nothing to do. Safe to call by several processes at once.
 */
export async function rebaseRestored(pool: pg.Pool): Promise<RebaseReport | undefined> {
  if ((await isOwn(pool)) && (await noteCluster(pool))) return undefined
  const client = await pool.connect()
  try {
    await client.query(identitiesSql)
    await mendSequence(client)
  } finally {
    client.release()
  }
  const tick = await takeTick(pool, 0)
  await whenDurable(pool, tick)
  return inTransaction(pool, (tx) => rebase(tx, tick))
}

/** Writes down once more that this is the server of the stored positions. Resolves to false when it is not. */
export async function noteCluster(pool: pg.Pool): Promise<boolean> {
  const { rowCount } = await pool.query(
    `update waybill.cluster c set xid = pg_current_xact_id(), noted_at = clock_timestamp()
      where c.xmin = c.xid::xid and c.relation = c.tableoid`,
  )
  return rowCount === 1
}

/** The seq up to which messages may carry xids of another server; 0: none do. */
export async function xidBoundary(client: pg.ClientBase): Promise<number> {
  const { rows } = await client.query<{ boundary: string }>('select c.boundary::text from waybill.cluster c')
  return Number(rows[0]?.boundary ?? 0)
}

async function isOwn(db: pg.Pool | pg.ClientBase): Promise<boolean> {
  const { rows } = await db.query<{ own: boolean }>('select c.own from waybill.cluster_mark c')
  return rows[0]?.own === true
}

async function rebase(client: pg.ClientBase, tick: TakenTick): Promise<RebaseReport | undefined> {
  await takeLock(client, 'rebase')
  if (await isOwn(client)) return undefined
  await assertRowsSeen(client)
  // along (seq) it would be all of the log below each lane's ceiling: by BRIN, it is what was published since
  await client.query(`${uncompiledSql}; set local enable_indexscan = off; set local enable_seqscan = off`)
  const { rows: lanes } = await client.query<{ id: number; reused: boolean; used: number }>(lanesSql)
  await client.query('set local enable_indexscan to default; set local enable_seqscan to default')
  for (const { id } of lanes) await restartReshardOf(client, id)
  // whoever holds a lane in the restored rows holds it on the old server
  await client.query(
    `update waybill.lanes set epoch = epoch + 1, holder = null, dispatcher = null where state <> 'closed'`,
  )
  await client.query('delete from waybill.dispatchers')
  for (const { id, reused, used } of lanes) {
    const { delta } = await loadPosition(client, id, null)
    const way = reused ? wayAgain(delta, used, tick) : wayOut(delta, tick)
    // barriers that it has passed are not ahead of it again
    await planDeltas(
      client,
      id,
      way.map((each) => ({ ...each, generation: delta.generation })),
    )
  }
  const { rows: destinations } = await client.query<{ name: string }>(
    'select distinct b.destination as name from waybill.barriers b',
  )
  for (const { name } of destinations) await mergeBarriers(client, name, tick)
  // an xid of the old server may never be reached here, and the partition would never go
  await client.query('update waybill.partition_marks set passed_xid = pg_current_xact_id()')
  const report: RebaseReport = {
    lanes: lanes.map((lane) => lane.id),
    fromStart: lanes.filter((lane) => lane.reused).map((lane) => lane.id),
    boundary: tick.ceiling,
  }
  await client.query(
    `insert into waybill.cluster (xid, relation, boundary, rebased_at)
     values (pg_current_xact_id(), 'waybill.cluster'::regclass, $1::bigint, clock_timestamp())
     on conflict (one) do update set xid = excluded.xid, relation = excluded.relation, boundary = excluded.boundary,
       noted_at = excluded.noted_at, rebased_at = excluded.rebased_at`,
    [tick.ceiling],
  )
  await client.query(
    `insert into waybill.audit (action, target, reason)
     values ('rebase', $1::jsonb, 'the database was restored or switched over: stored positions were another server''s')`,
    [JSON.stringify(report)],
  )
  return report
}

function wayOut(delta: Delta, tick: TakenTick): Delta[] {
  return [inOldTerms(delta), ...readAgainUpTo(tick, delta.to.ceiling, delta.n + 2)]
}

/** `used`: the greatest seq in use when the sequence was mended; all that was published since lies above it. */
function wayAgain(delta: Delta, used: number, tick: TakenTick): Delta[] {
  const { n, to } = delta
  const end = Math.max(to.ceiling, used)
  return [
    inOldTerms(delta),
    everythingBetween(to.ceiling, end, n + 2),
    everythingBetween(0, to.ceiling, n + 3),
    ...readAgainUpTo(tick, end, n + 4),
  ]
}

/** What a delta's last snapshot did not see, of what had a seq then. */
function inOldTerms(delta: Delta): Delta {
  return { n: delta.n + 1, from: standingAfter(delta), to: whole(delta.to.ceiling), generation: delta.generation }
}
