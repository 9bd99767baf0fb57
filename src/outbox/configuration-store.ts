import type pg from 'pg'
import { backoffDelay } from '../core/backoff.js'
import { systemClock, type Clock } from '../core/clock.js'
import { WaybillError } from '../core/errors.js'
import { isConnectionError, isTransient } from '../db/sqlstate.js'
import { inTransaction } from '../db/transaction.js'
import { forgetPassedBarriers, insertBarrier, topicRegex } from './barriers/barrier-store.js'
import type { Treatment } from './barriers/course.js'
import { type Tick, everythingAbove, readAgainUpTo, startingAt } from './delta.js'
import type { Queryable } from './lane-store.js'
import { type LaneStart, addLanes } from './position-store.js'
import { type RebaseReport, rebaseRestored, xidBoundary } from './rebase.js'
import { changeShards, lockReshards, restartReshard, tellDispatchers } from './reshard.js'
import { type TakenTick, takeTick } from './tick.js'

/** A destination as the configuration names it, for SQL and people to see. */
export interface DeployedDestination {
  readonly name: string
  readonly kind: string
  /** Settings with secrets redacted. */
  readonly settings: unknown
  readonly shards: number
  readonly order: 'key' | 'none'
  readonly onDead: 'hold' | 'release'
  readonly from: 'earliest' | 'latest' | Date | undefined
  /** Topic patterns of its routes. */
  readonly patterns: readonly string[]
}

export interface Deployment {
  /** Equal configurations have equal fingerprints. */
  readonly fingerprint: string
  /** Given by the user, or undefined: counted by when a fingerprint was first seen. */
  readonly generation: number | undefined
  readonly destinations: readonly DeployedDestination[]
  /** It takes the place of a newer configuration whose dispatchers are gone. Without effect where a generation is given. */
  readonly supersedes?: boolean
  /** What was committed before goes by the new routes too: for test kits, whose routes are those of a call. */
  readonly withoutBarriers?: boolean
}

export interface Deployed {
  readonly generation: number
  /** A newer configuration is deployed: this one was not written. */
  readonly stale: boolean
  readonly added: readonly string[]
  /** No longer configured; their lanes wait until somebody removes them. */
  readonly orphaned: readonly string[]
  /** Destinations that want other topics or order otherwise from now on: their lanes change over at a barrier. */
  readonly changed: readonly string[]
  /** Destinations on their way to another number of shards: dispatchers carry it out (`reshard.ts`). */
  readonly resharding: readonly string[]
  /** The database had been restored or switched over, and nobody had noticed yet. */
  readonly rebased: RebaseReport | undefined
}

/** How long ticks and other deployments may queue behind one that waits for its lock, ms. */
const lockTimeoutMs = 1000
/**
 * How long a process may be silent within a deployment, ms: no dispatcher gets a tick meanwhile. One that was killed behind a
 * network that did not tell the server stopped all delivery until TCP gave up.
 */
const silentMs = 3000
/** How long it goes on trying. */
const lockWithinMs = 60_000

/**
 * Writes a configuration down, unless dispatchers of a newer one run. New destinations get their lanes, each with the position
 * from which it reads. Destinations that it no longer names are marked and keep everything: removing is an act of its own.
 *
 * A destination whose routes or order change gets a barrier: a tick of this moment. What it sees is treated as before, all
 * else as deployed (`barriers/course.ts`). No lane is read beyond it by the old configuration, and none of the two loses or
 * reorders: every tick names the deployed generation and excludes this transaction by a table lock, so a dispatcher either
 * has a tick that the barrier sees wholly, or learns that it is outranked.
 */
export async function deploy(pool: pg.Pool, deployment: Deployment, clock: Clock = systemClock): Promise<Deployed> {
  const deadline = clock.monotonic() + lockWithinMs
  for (let attempt = 1; ; attempt++) {
    try {
      const deployed = await deployOnce(pool, deployment)
      if (deployed) return deployed
    } catch (error) {
      // a session that was silent for too long has been ended, and nothing of it is left
      const again = isTransient(error) || isConnectionError(error)
      if (!again || clock.monotonic() >= deadline) throw error
    }
    await clock.sleep(backoffDelay(attempt, { baseMs: 50, capMs: 1000 }))
  }
}

// Undefined: the database crashed or was promoted meanwhile, so the floor of the tick means nothing.
async function deployOnce(pool: pg.Pool, deployment: Deployment): Promise<Deployed | undefined> {
  const rebased = await rebaseRestored(pool)
  const before = await inTransaction(pool, (client) => isDeployed(client, deployment))
  if (before !== undefined) {
    return { generation: before, stale: false, added: [], orphaned: [], changed: [], resharding: [], rebased }
  }
  await pool.query('insert into waybill.incarnation (nonce) values (gen_random_uuid()) on conflict do nothing')
  const earlier = await takeTick(pool, 0)
  return inTransaction(pool, async (client) => {
    await client.query(
      `set local lock_timeout = ${lockTimeoutMs}; set local idle_in_transaction_session_timeout = ${silentMs}`,
    )
    // ticks take it in ROW SHARE mode; pg_dump and readers do not conflict
    await client.query('lock table waybill.configurations in exclusive mode')
    const tick = await tickHere(client, earlier)
    if (!tick) return undefined
    const { generation, stale, known } = await nextGeneration(client, deployment)
    if (stale) return { generation, stale, added: [], orphaned: [], changed: [], resharding: [], rebased }
    if (!known) {
      await client.query(
        `insert into waybill.configurations (fingerprint, generation, explicit) values ($1::text, $2::int, $3::boolean)
         on conflict (fingerprint) do update set generation = excluded.generation, explicit = excluded.explicit`,
        [deployment.fingerprint, generation, deployment.generation !== undefined],
      )
    }
    await forgetPassedBarriers(client)
    await lockReshards(client)
    const existing = await deployedBefore(client)
    const added: string[] = []
    const changed: string[] = []
    const resharding: string[] = []
    for (const destination of deployment.destinations) {
      const { name, patterns, order, onDead } = destination
      const old = existing.get(name)
      if (old && !deployment.withoutBarriers && !isSameTreatment(old.treatment, { patterns, order, onDead })) {
        await restartReshard(client, name)
        await insertBarrier(client, name, { generation, before: old.treatment, tick })
        changed.push(name)
      }
      await upsert(client, destination, old?.shards ?? destination.shards, generation)
      if (old) {
        if (await changeShards(client, name, old.shards, destination.shards)) resharding.push(name)
        continue
      }
      added.push(name)
      const from = destination.from ?? (existing.size === 0 ? 'earliest' : 'latest')
      await addLanes(client, destination, await startOf(client, from, tick))
    }
    const names = deployment.destinations.map((d) => d.name)
    const { rows: orphans } = await client.query<{ name: string }>(
      'update waybill.destinations set configured = false where configured and name <> all($1::text[]) returning name',
      [names],
    )
    // dispatchers of older configurations give their lanes back, and those of this one take them
    await tellDispatchers(client)
    return { generation, stale, added, orphaned: orphans.map((o) => o.name), changed, resharding, rebased }
  })
}

/**
 * A tick within the transaction, on whose lock all other ticks wait. Its floor is that of a tick taken before, on the same
 * incarnation: too low a floor is right.
 */
async function tickHere(client: pg.ClientBase, earlier: TakenTick): Promise<Tick | undefined> {
  const { rows } = await client.query<{ snapshot: string; ceiling: string; nonce: string | null }>(
    `select pg_current_snapshot()::text as snapshot,
            (case when s.is_called then s.last_value else s.last_value - 1 end)::text as ceiling,
            (select i.nonce::text from waybill.incarnation i) as nonce
       from waybill.message_seq s`,
  )
  const row = rows[0]
  if (!row || row.nonce === null || row.nonce !== earlier.nonce) return undefined
  return { snapshot: row.snapshot, floor: earlier.floor, ceiling: Number(row.ceiling) }
}

/**
 * The generation, where nothing would be changed: most starts are of a configuration that is deployed, and keep no dispatcher
 * waiting.
 */
async function isDeployed(client: pg.ClientBase, deployment: Deployment): Promise<number | undefined> {
  const { rows } = await client.query<{ fingerprint: string; generation: number; busy: boolean }>(
    `select c.fingerprint, c.generation, exists (select from waybill.reshards r where r.ended_at is null) as busy
       from waybill.configurations c order by c.generation desc limit 1`,
  )
  const newest = rows[0]
  if (newest?.fingerprint !== deployment.fingerprint || newest.busy) return undefined
  if (deployment.generation !== undefined && deployment.generation !== newest.generation) return undefined
  const stored = await deployedBefore(client)
  const same = deployment.destinations.every(({ name, shards, patterns, order, onDead }) => {
    const old = stored.get(name)
    return (
      old?.generation === newest.generation &&
      old.configured &&
      old.shards === shards &&
      isSameTreatment(old.treatment, { patterns, order, onDead })
    )
  })
  const names = new Set(deployment.destinations.map(({ name }) => name))
  if (!same || [...stored].some(([name, { configured }]) => configured && !names.has(name))) return undefined
  await forgetPassedBarriers(client)
  return newest.generation
}

interface DeployedBefore {
  readonly shards: number
  readonly generation: number
  readonly configured: boolean
  readonly treatment: Treatment
}

async function deployedBefore(client: pg.ClientBase): Promise<Map<string, DeployedBefore>> {
  const { rows } = await client.query<{ name: string } & Omit<DeployedBefore, 'treatment'> & Treatment>(
    `select d.name, d.shards, d.generation, d.configured, d.ordering as "order", d.on_dead as "onDead",
            array(select r.pattern from waybill.routes r where r.destination = d.name order by 1) as patterns
       from waybill.destinations d`,
  )
  return new Map(
    rows.map(({ name, shards, generation, configured, ...treatment }) => [
      name,
      { shards, generation, configured, treatment },
    ]),
  )
}

function isSameTreatment(one: Treatment, other: Treatment): boolean {
  const wants = ({ patterns }: Treatment): string => [...new Set(patterns)].sort().join()
  return one.order === other.order && one.onDead === other.onDead && wants(one) === wants(other)
}

async function nextGeneration(
  client: pg.ClientBase,
  { fingerprint, generation: given, supersedes = false }: Deployment,
): Promise<{ generation: number; stale: boolean; known: boolean }> {
  const { rows } = await client.query<{ fingerprint: string; generation: number }>(
    'select fingerprint, generation from waybill.configurations order by generation desc',
  )
  const newest = rows[0]?.generation ?? 0
  const mine = rows.find((row) => row.fingerprint === fingerprint)
  if (given === undefined) {
    const older = mine !== undefined && mine.generation < newest
    if (!mine || (older && (supersedes || !(await isServed(client, mine.generation)))))
      return { generation: newest + 1, stale: false, known: false }
    return { generation: mine.generation, stale: mine.generation < newest, known: true }
  }
  const same = rows.find((row) => row.generation === given)
  if (same && same.fingerprint !== fingerprint) {
    throw new WaybillError(
      'WAYBILL_CONFIG_STALE',
      `generation ${given} is deployed with another configuration; give the changed one a greater generation than ${newest}`,
    )
  }
  return { generation: given, stale: given < newest, known: mine?.generation === given }
}

// Whether a dispatcher of a newer configuration runs, or did and has not signed off. Where none does, the older one that
// starts is a deployment undone.
async function isServed(client: pg.ClientBase, generation: number): Promise<boolean> {
  const { rowCount } = await client.query('select from waybill.dispatchers d where d.generation > $1::int limit 1', [
    generation,
  ])
  return rowCount !== 0
}

/** Whether the configuration of that fingerprint is what is deployed as `generation`. */
export async function isDeployedAs(db: Queryable, fingerprint: string, generation: number): Promise<boolean> {
  const { rowCount } = await db.query(
    'select from waybill.configurations c where c.fingerprint = $1::text and c.generation = $2::int',
    [fingerprint, generation],
  )
  return rowCount === 1
}

async function upsert(
  client: pg.ClientBase,
  d: DeployedDestination,
  shards: number,
  generation: number,
): Promise<void> {
  await client.query(
    `insert into waybill.destinations (name, kind, settings, shards, ordering, on_dead, topic_regex, generation)
     values ($1::text, $2::text, $3::jsonb, $4::int, $5::text, $6::text, $7::text, $8::int)
     on conflict (name) do update set kind = excluded.kind, settings = excluded.settings, ordering = excluded.ordering,
       on_dead = excluded.on_dead, topic_regex = excluded.topic_regex, generation = excluded.generation, configured = true`,
    [d.name, d.kind, JSON.stringify(d.settings ?? {}), shards, d.order, d.onDead, topicRegex(d.patterns), generation],
  )
  await client.query('delete from waybill.routes where destination = $1::text', [d.name])
  await client.query(
    'insert into waybill.routes (pattern, destination) select distinct p, $1::text from unnest($2::text[]) p',
    [d.name, d.patterns],
  )
}

async function startOf(client: pg.ClientBase, from: 'earliest' | 'latest' | Date, tick: Tick): Promise<LaneStart> {
  const fromTip = { delta: startingAt(tick), after: tick.ceiling }
  if (from === 'latest') return fromTip
  let floor = 0
  if (from !== 'earliest') {
    const { rows } = await client.query<{ floor: string | null }>(
      'select (min(m.seq) - 1)::text as floor from waybill.messages m where m.created_at >= $1::timestamptz',
      [from],
    )
    if (typeof rows[0]?.floor !== 'string') return fromTip
    floor = Number(rows[0].floor)
  }
  if (floor >= (await xidBoundary(client))) {
    const { from: above, ...delta } = everythingAbove(floor, tick)
    // what was published before the first visible one, by transactions that still run, comes when they have committed
    const { running } = fromTip.delta.from
    return { delta: { ...delta, from: { ...above, running } }, after: floor }
  }
  const [delta, ...planned] = readAgainUpTo(tick, floor, 0)
  return { delta, after: floor, planned }
}
