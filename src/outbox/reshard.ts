import type pg from 'pg'
import { shardOf } from '../core/shard.js'
import { assertRowsSeen } from '../db/hidden-tables.js'
import { loadSql } from '../db/sql.js'
import { inTransaction } from '../db/transaction.js'
import { type Delta, type Running, type Tick, standingAfter } from './delta.js'
import { loadBarriers } from './barriers/barrier-store.js'
import { type Barrier, barriersAhead, deltasUpTo } from './barriers/course.js'
import { type LaneFence, type Queryable, type StoredPosition, loadPosition } from './lane-store.js'
import { addLanes, planDeltas } from './position-store.js'
import type { TakenTick } from './tick.js'

/**
 * Another number of shards sends keys to other lanes. So that no lane sends a later message of a key before another has
 * delivered, or parked, the earlier ones, all old lanes are brought to one tick first, and the new ones start from it.
 * Every step is a state in the database (see the migration of `waybill.reshards`): whoever comes next goes on.
 */
const openSql = loadSql(import.meta.url, './sql/reshard_open.sql')
const restSql = loadSql(import.meta.url, './sql/lane_rest.sql')

export interface OpenReshard {
  readonly id: string
  readonly destination: string
  /** All its lanes rest: the next step can be taken. */
  readonly ready: boolean
  /** Lanes that nobody is to take until then. */
  readonly resting: readonly number[]
}

export type ReshardStep = 'barrier' | 'done'

/**
 * Asks for `shards` in place of `current`; equal numbers call off what was asked for before. For `deploy`, in its
 * transaction. Resolves to whether a change is now under way.
 */
export async function changeShards(
  client: pg.ClientBase,
  destination: string,
  current: number,
  shards: number,
): Promise<boolean> {
  if (current === shards) {
    await cancel(client, destination)
    return false
  }
  await client.query(
    `insert into waybill.reshards (destination, from_shards, to_shards) values ($1::text, $2::int, $3::int)
     on conflict (destination) where ended_at is null do update set to_shards = excluded.to_shards`,
    [destination, current, shards],
  )
  await client.query(
    `update waybill.lanes set state = 'closing' where destination = $1::text and state in ('active', 'paused')`,
    [destination],
  )
  await tellDispatchers(client)
  return true
}

async function cancel(client: pg.ClientBase, destination: string): Promise<void> {
  const { rowCount } = await client.query(
    `update waybill.reshards set ended_at = clock_timestamp(), outcome = 'cancelled'
      where destination = $1::text and ended_at is null`,
    [destination],
  )
  if (rowCount === 0) return
  // a lane stands at a position of its own at any time: from there it goes on, through what was planned for it
  await client.query(
    `update waybill.lanes set state = case when pause_kind is null then 'active' else 'paused' end, rests = false
      where destination = $1::text and state = 'closing'`,
    [destination],
  )
  await tellDispatchers(client)
}

/**
 * For a deployment, before it reads how many shards there are: one that read them while a change was being finished took the
 * old number for the present one, and what it asked for was forgotten.
 */
export async function lockReshards(client: pg.ClientBase): Promise<void> {
  await client.query('select from waybill.reshards r where r.ended_at is null order by r.id for update')
}

export async function openReshards(db: Queryable): Promise<OpenReshard[]> {
  const { rows } = await db.query<{ id: string; destination: string; ready: boolean; resting: number[] }>(openSql)
  return rows
}

/**
 * Releases a closing lane that has ended at the point where it was to. Resolves to false when, by what is stored, it
 * does not stand there: it must be run again.
 */
export async function restLane(db: Queryable, { laneId, epoch, holder }: Omit<LaneFence, 'nonce'>): Promise<boolean> {
  const { rowCount } = await db.query(restSql, [laneId, epoch, holder])
  if (rowCount !== 1) return false
  await tellDispatchers(db)
  return true
}

/**
 * Takes the next step of a reshard whose lanes all rest. `takeTick` resolves to a tick that is durable. Resolves to
 * undefined when somebody else is at it, or was quicker. Safe to call at any time, by any number of dispatchers.
 */
export async function advanceReshard(
  pool: pg.Pool,
  id: string,
  takeTick: () => Promise<TakenTick>,
): Promise<ReshardStep | undefined> {
  const lanes = await inTransaction(pool, (client) => lockResting(client, id))
  if (!lanes) return undefined
  // Lanes that rest stay where they are, so a tick that is taken now is newer than all of them.
  const tick = standsAtOne(lanes) ? undefined : await takeTick()
  return inTransaction(pool, async (client) => {
    const locked = await lockResting(client, id)
    if (!locked) return undefined
    await assertRowsSeen(client) // deliveries and plans too are moved by what is seen
    if (standsAtOne(locked)) return finish(client, locked)
    // one that was taken before a deployment would end before the barrier of that
    const outdated = locked.barriers.some(({ generation }) => tick && generation > tick.generation)
    if (!tick || outdated || !(await isOfNow(client, tick))) return undefined
    return setBarrier(client, locked, tick)
  })
}

/**
 * Sends a change of shards back to its first step: one of the lanes was given another position. Call it before the lane's
 * row is written, so that locks are taken in one order.
 */
export async function restartReshardOf(client: pg.ClientBase, laneId: number): Promise<void> {
  const { rows } = await client.query<{ destination: string }>(
    'select l.destination from waybill.lanes l where l.id = $1::int',
    [laneId],
  )
  if (rows[0]) await restartReshard(client, rows[0].destination)
}

/**
 * The same where a deployment sets a barrier behind that of the change: lanes go on to the deployment's, where they would
 * never stand at the other. Those that rested there would wait for them for ever.
 */
export async function restartReshard(client: pg.ClientBase, destination: string): Promise<void> {
  const { rowCount } = await client.query(
    `update waybill.reshards r set barrier = null, barrier_at = null where r.destination = $1::text and r.ended_at is null`,
    [destination],
  )
  if (rowCount === 0) return
  await client.query(
    `with closing as (select l.id from waybill.lanes l where l.destination = $1::text and l.state = 'closing' order by l.id for update)
     update waybill.lanes l set rests = false from closing c where c.id = l.id`,
    [destination],
  )
}

interface Resting {
  readonly id: string
  readonly destination: string
  readonly fromShards: number
  readonly toShards: number
  readonly positions: readonly (StoredPosition & { readonly laneId: number })[]
  /** Of the destination: its lanes stop at each that they have not passed. */
  readonly barriers: readonly Barrier[]
}

// The row of the reshard, then those of its lanes: nobody commits for a lane, takes it or acts on it meanwhile.
async function lockResting(client: pg.ClientBase, id: string): Promise<Resting | undefined> {
  const { rows } = await client.query<{ destination: string; from_shards: number; to_shards: number }>(
    `select r.destination, r.from_shards, r.to_shards from waybill.reshards r
      where r.id = $1::bigint and r.ended_at is null for update skip locked`,
    [id],
  )
  const row = rows[0]
  if (!row) return undefined
  const { rows: lanes } = await client.query<{ id: number; rests: boolean }>(
    `select l.id, l.rests and l.holder is null as rests from waybill.lanes l
      where l.destination = $1::text and l.state = 'closing' order by l.id for update`,
    [row.destination],
  )
  if (lanes.length === 0 || lanes.some((lane) => !lane.rests)) return undefined
  const positions = []
  for (const lane of lanes) positions.push({ ...(await loadPosition(client, lane.id, null)), laneId: lane.id })
  return {
    id,
    destination: row.destination,
    fromShards: row.from_shards,
    toShards: row.to_shards,
    positions,
    barriers: await loadBarriers(client, row.destination),
  }
}

function standsAtOne({ positions, barriers }: Resting): boolean {
  const passed = positions.every((position) => barriersAhead(position, barriers).length === 0)
  return passed && new Set(positions.map((p) => p.delta.to.snapshot)).size === 1
}

async function isOfNow(client: pg.ClientBase, tick: TakenTick): Promise<boolean> {
  const { rowCount } = await client.query('select from waybill.incarnation i where i.nonce = $1::uuid', [tick.nonce])
  return rowCount === 1
}

async function setBarrier(
  client: pg.ClientBase,
  { id, positions, barriers }: Resting,
  tick: TakenTick,
): Promise<ReshardStep> {
  for (const position of positions) await planDeltas(client, position.laneId, deltasUpTo(position, barriers, tick))
  await client.query(
    'update waybill.reshards set barrier = $2::pg_snapshot, barrier_at = clock_timestamp() where id = $1::bigint',
    [id, tick.snapshot],
  )
  await client.query('update waybill.lanes set rests = false where id = any($1::int[])', [
    positions.map((p) => p.laneId),
  ])
  await tellDispatchers(client)
  return 'barrier'
}

async function finish(client: pg.ClientBase, reshard: Resting): Promise<ReshardStep> {
  const { destination, fromShards, toShards, positions } = reshard
  const old = positions.map((p) => p.laneId)
  const delta = startOfNew(positions)
  await client.query(
    `update waybill.lanes set state = 'closed', epoch = epoch + 1, rests = false, dispatcher = null where id = any($1::int[])`,
    [old],
  )
  const added = await addLanes(client, { name: destination, shards: toShards }, { delta, after: delta.to.ceiling })
  const moved = await moveDeliveries(client, old, added)
  await copyDropped(client, old, added)
  await client.query('update waybill.destinations set shards = $2::int where name = $1::text', [destination, toShards])
  await client.query(
    `update waybill.reshards set ended_at = clock_timestamp(), outcome = 'done', barrier = $2::pg_snapshot where id = $1::bigint`,
    [reshard.id, delta.to.snapshot],
  )
  await client.query(
    `insert into waybill.audit (action, target, reason)
     values ('reshard', jsonb_build_object('destination', $1::text, 'from', $2::int, 'to', $3::int, 'closed', $4::int[],
             'opened', $5::int[], 'movedDeliveries', $6::int), 'the configuration asks for it')`,
    [destination, fromShards, toShards, old, added, moved],
  )
  await tellDispatchers(client)
  return 'done'
}

// What operators dropped before the old lanes had read it: which of the new ones will read it, their rows do not say.
async function copyDropped(client: pg.ClientBase, old: readonly number[], added: readonly number[]): Promise<void> {
  await client.query(
    `insert into waybill.dropped (lane_id, seq, message_id, dropped_at)
     select n.id, g.seq, g.message_id, min(g.dropped_at) from waybill.dropped g cross join unnest($2::int[]) n(id)
      where g.lane_id = any($1::int[]) group by 1, 2, 3`,
    [old, added],
  )
}

// All lanes have the same snapshot; each knows floors that hold for it, and so the lowest of each hold for all.
function startOfNew(positions: Resting['positions']): Delta {
  const stands = positions.map((p) => standingAfter(p.delta))
  const floors = new Map<string, number>()
  for (const { running } of stands)
    for (const { xid, floor } of running) floors.set(xid, Math.min(floor, floors.get(xid) ?? floor))
  const running: Running[] = [...floors].map(([xid, floor]) => ({ xid, floor }))
  const to: Tick = {
    snapshot: stands[0]?.snapshot as string,
    floor: Math.min(...stands.map((s) => s.floor)),
    ceiling: Math.max(...positions.map((p) => p.delta.to.ceiling)),
  }
  const generation = Math.min(...positions.map((p) => p.delta.generation))
  return { n: 0, from: { snapshot: to.snapshot, floor: to.floor, running }, to, generation }
}

// Parked deliveries go to the new lane of their key, where they hold what is behind them as before.
async function moveDeliveries(client: pg.ClientBase, from: number[], to: readonly number[]): Promise<number> {
  const { rows } = await client.query<{ seq: string; message_id: string; key: string | null }>(
    'select d.seq::text, d.message_id, d.key from waybill.deliveries d where d.lane_id = any($1::int[]) for update',
    [from],
  )
  const lanes = rows.map((row) => to[shardOf(row.key, row.message_id, to.length)])
  await client.query(
    `update waybill.deliveries d set lane_id = x.lane
       from unnest($2::bigint[], $3::uuid[], $4::int[]) x(seq, id, lane)
      where d.lane_id = any($1::int[]) and d.seq = x.seq and d.message_id = x.id`,
    [from, rows.map((row) => row.seq), rows.map((row) => row.message_id), lanes],
  )
  return rows.length
}

export async function tellDispatchers(db: Queryable): Promise<void> {
  await db.query(`select pg_notify('waybill_lanes', '')`)
}
