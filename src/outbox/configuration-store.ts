import type pg from 'pg'
import { WaybillError } from '../core/errors.js'
import { topicPatternSource } from '../core/topic-pattern.js'
import { inTransaction } from '../db/transaction.js'
import { everythingAbove, readAgainUpTo, startingAt } from './delta.js'
import { type LaneStart, addLanes } from './position-store.js'
import { type RebaseReport, rebaseRestored, xidBoundary } from './rebase.js'
import { changeShards } from './reshard.js'
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
}

export interface Deployed {
  readonly generation: number
  /** A newer configuration is deployed: this one was not written. */
  readonly stale: boolean
  readonly added: readonly string[]
  /** No longer configured; their lanes wait until somebody removes them. */
  readonly orphaned: readonly string[]
  /** Destinations on their way to another number of shards: dispatchers carry it out (`reshard.ts`). */
  readonly resharding: readonly string[]
  /** The database had been restored or switched over, and nobody had noticed yet. */
  readonly rebased: RebaseReport | undefined
}

/**
 * Writes a configuration down, unless a newer one is there. New destinations get their lanes, each with the position
 * from which it reads. Destinations that it no longer names are marked and keep everything: removing is an act of its own.
 */
export async function deploy(pool: pg.Pool, deployment: Deployment): Promise<Deployed> {
  const rebased = await rebaseRestored(pool)
  const tick = await takeTick(pool, 0)
  return inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock(7718266, 2)')
    const { generation, stale, known } = await generationOf(client, deployment)
    if (stale) return { generation, stale, added: [], orphaned: [], resharding: [], rebased }
    if (!known) {
      await client.query(
        `insert into waybill.configurations (fingerprint, generation, explicit) values ($1::text, $2::int, $3::boolean)
         on conflict (fingerprint) do update set generation = excluded.generation, explicit = excluded.explicit`,
        [deployment.fingerprint, generation, deployment.generation !== undefined],
      )
    }
    const before = await client.query<{ name: string; shards: number; configured: boolean }>(
      'select name, shards, configured from waybill.destinations',
    )
    const existing = new Map(before.rows.map((row) => [row.name, row]))
    const added: string[] = []
    const resharding: string[] = []
    for (const destination of deployment.destinations) {
      const old = existing.get(destination.name)
      await upsert(client, destination, old?.shards ?? destination.shards, generation)
      if (old) {
        if (await changeShards(client, destination.name, old.shards, destination.shards))
          resharding.push(destination.name)
        continue
      }
      added.push(destination.name)
      const from = destination.from ?? (existing.size === 0 ? 'earliest' : 'latest')
      await addLanes(client, destination, await startOf(client, from, tick))
    }
    const names = deployment.destinations.map((d) => d.name)
    const { rows: orphans } = await client.query<{ name: string }>(
      'update waybill.destinations set configured = false where configured and name <> all($1::text[]) returning name',
      [names],
    )
    return { generation, stale, added, orphaned: orphans.map((o) => o.name), resharding, rebased }
  })
}

async function generationOf(
  client: pg.ClientBase,
  { fingerprint, generation: given }: Deployment,
): Promise<{ generation: number; stale: boolean; known: boolean }> {
  const { rows } = await client.query<{ fingerprint: string; generation: number }>(
    'select fingerprint, generation from waybill.configurations order by generation desc',
  )
  const newest = rows[0]?.generation ?? 0
  const mine = rows.find((row) => row.fingerprint === fingerprint)
  if (given === undefined) {
    if (!mine) return { generation: newest + 1, stale: false, known: false }
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

async function upsert(
  client: pg.ClientBase,
  d: DeployedDestination,
  shards: number,
  generation: number,
): Promise<void> {
  const regex = d.patterns.length === 0 ? null : d.patterns.map(topicPatternSource).join('|')
  await client.query(
    `insert into waybill.destinations (name, kind, settings, shards, ordering, on_dead, topic_regex, generation)
     values ($1::text, $2::text, $3::jsonb, $4::int, $5::text, $6::text, $7::text, $8::int)
     on conflict (name) do update set kind = excluded.kind, settings = excluded.settings, ordering = excluded.ordering,
       on_dead = excluded.on_dead, topic_regex = excluded.topic_regex, generation = excluded.generation, configured = true`,
    [d.name, d.kind, JSON.stringify(d.settings ?? {}), shards, d.order, d.onDead, regex, generation],
  )
  await client.query('delete from waybill.routes where destination = $1::text', [d.name])
  await client.query(
    'insert into waybill.routes (pattern, destination) select distinct p, $1::text from unnest($2::text[]) p',
    [d.name, d.patterns],
  )
}

async function startOf(client: pg.ClientBase, from: 'earliest' | 'latest' | Date, tick: TakenTick): Promise<LaneStart> {
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
