import type pg from 'pg'
import { topicPatternSource } from '../../core/topic-pattern.js'
import type { Tick } from '../delta.js'
import { readFenced } from '../fenced-read.js'
import type { Queryable } from '../lane-store.js'
import type { Barrier, Treatment } from './course.js'

interface Row {
  readonly generation: number
  readonly patterns: readonly string[]
  readonly ordering: Treatment['order']
  readonly on_dead: Treatment['onDead']
  readonly snapshot: string
  readonly floor: string
  readonly ceiling: string
}

const columns = 'b.generation, b.patterns, b.ordering, b.on_dead, b.snapshot::text, b.floor::text, b.ceiling::text'

/**
 * The barriers of a destination, lowest generation first; those that all lanes have passed may be among them. For a
 * transaction that has made sure that no rows are hidden from it.
 */
export async function loadBarriers(db: Queryable, destination: string): Promise<Barrier[]> {
  const { rows } = await db.query<Row>(
    `select ${columns} from waybill.barriers b where b.destination = $1::text order by b.generation`,
    [destination],
  )
  return rows.map(barrierOf)
}

/** The same for a lane that is opened: it fails on another incarnation, and where rows are hidden. */
export async function loadBarriersFenced(db: Queryable, destination: string, nonce: string): Promise<Barrier[]> {
  const rows = await readFenced<Row | { generation: null }>(
    db,
    `select ${columns} from waybill.incarnation i left join waybill.barriers b on b.destination = $1::text
      where i.nonce = $2::uuid and not row_security_active('waybill.barriers'::regclass) order by b.generation`,
    [destination],
    nonce,
  )
  return rows.flatMap((row) => (row.generation === null ? [] : [barrierOf(row)]))
}

function barrierOf(row: Row): Barrier {
  return {
    generation: row.generation,
    before: { patterns: row.patterns, order: row.ordering, onDead: row.on_dead },
    tick: { snapshot: row.snapshot, floor: Number(row.floor), ceiling: Number(row.ceiling) },
  }
}

export async function insertBarrier(
  client: pg.ClientBase,
  destination: string,
  { generation, before, tick }: Barrier,
): Promise<void> {
  await client.query(
    `insert into waybill.barriers (destination, generation, patterns, topic_regex, ordering, on_dead, snapshot, floor, ceiling)
     values ($1::text, $2::int, $3::text[], $4::text, $5::text, $6::text, $7::pg_snapshot, $8::bigint, $9::bigint)
     on conflict do nothing`,
    [
      ...[destination, generation, before.patterns, topicRegex(before.patterns), before.order, before.onDead],
      ...[tick.snapshot, tick.floor, tick.ceiling],
    ],
  )
}

/** What lanes filter by in SQL; null: no route wants anything. */
export function topicRegex(patterns: readonly string[]): string | null {
  return patterns.length === 0 ? null : patterns.map(topicPatternSource).join('|')
}

/**
 * Where lanes of a destination are sent back or put in terms of another server, barriers before that are no points of the
 * log any more: one at `tick` takes their place. Up to it a lane that had not passed all of them wants what any of the
 * routes wants, old or deployed, in the stricter order: a message may come where only one side of a barrier wanted it,
 * and none is lost.
 */
export async function mergeBarriers(client: pg.ClientBase, destination: string, tick: Tick): Promise<void> {
  const barriers = await loadBarriers(client, destination)
  const generation = barriers.at(-1)?.generation
  if (generation === undefined) return
  const treatments = [...barriers.map(({ before }) => before), await deployedTreatment(client, destination)]
  await client.query('delete from waybill.barriers where destination = $1::text', [destination])
  const before: Treatment = {
    patterns: [...new Set(treatments.flatMap(({ patterns }) => patterns))],
    order: treatments.some(({ order }) => order === 'key') ? 'key' : 'none',
    onDead: treatments.some(({ onDead }) => onDead === 'hold') ? 'hold' : 'release',
  }
  await insertBarrier(client, destination, { generation, before, tick })
}

/** Removes barriers that every open lane has passed and has read on behind. */
export async function forgetPassedBarriers(client: pg.ClientBase): Promise<void> {
  await client.query(
    `delete from waybill.barriers b
      where not exists (
        select from waybill.lanes l
         cross join lateral (select p.delta from waybill.positions p where p.lane_id = l.id order by p.n desc limit 1) p
          join waybill.deltas d on d.lane_id = l.id and d.n = p.delta
         where l.destination = b.destination and l.state <> 'closed' and d.generation < b.generation)`,
  )
}

async function deployedTreatment(client: pg.ClientBase, destination: string): Promise<Treatment> {
  const { rows } = await client.query<Treatment>(
    `select d.ordering as "order", d.on_dead as "onDead",
            array(select r.pattern from waybill.routes r where r.destination = d.name order by 1) as patterns
       from waybill.destinations d where d.name = $1::text`,
    [destination],
  )
  return rows[0] ?? { patterns: [], order: 'key', onDead: 'hold' }
}
