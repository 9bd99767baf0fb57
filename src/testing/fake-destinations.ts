import type pg from 'pg'
import { v4 as uuid } from 'uuid'
import { WaybillError } from '../core/errors.js'
import { deploy, type DeployedDestination } from '../outbox/configuration-store.js'
import { fakeKind } from './fake-adapter.js'
import type { LoggedMessage } from './message.js'

/** A fake as it is written down. */
export type FakeRow = Pick<DeployedDestination, 'name' | 'order' | 'onDead' | 'patterns'>

/** Throws `WAYBILL_TESTING_REFUSED` where there is a destination that is no fake: it would be taken out of service. */
export async function refuseRealDestinations(pool: pg.Pool, names: readonly string[]): Promise<void> {
  const { rows } = await pool.query<{ name: string; kind: string }>(
    `select name, kind from waybill.destinations
      where kind <> $1::text and (configured or name = any($2::text[])) order by name`,
    [fakeKind, names],
  )
  if (rows.length === 0) return
  const found = rows.map(({ name, kind }) => `${name} (${kind})`).join(', ')
  throw new WaybillError(
    'WAYBILL_TESTING_REFUSED',
    `deliverNow: this database has real destinations: ${found}. Nothing was delivered and nothing changed; give it a database of the tests' own, migrated and never dispatched from`,
  )
}

/**
 * Writes the fakes down as the newest configuration. Fakes of earlier calls stay as they are, so that `to` may name
 * them; what they have not got waits for them. A new one starts at the beginning of the log.
 */
export async function deployFakes(pool: pg.Pool, fakes: readonly FakeRow[]): Promise<number> {
  const { rows: earlier } = await pool.query<FakeRow>(
    `select d.name, d.ordering as "order", d.on_dead as "onDead",
            array(select r.pattern from waybill.routes r where r.destination = d.name) as patterns
       from waybill.destinations d where d.kind = $1::text and d.configured and d.name <> all($2::text[])`,
    [fakeKind, fakes.map(({ name }) => name)],
  )
  const { generation } = await deploy(pool, {
    // each call is a configuration of its own: an old one that comes back would be taken for a stale one
    fingerprint: `testing:${uuid()}`,
    generation: undefined,
    withoutBarriers: true,
    destinations: [...earlier, ...fakes].map((fake) => ({
      ...fake,
      ...{ kind: fakeKind, settings: {}, shards: 1, from: 'earliest' as const },
    })),
  })
  return generation
}

export interface ParkedMessage {
  readonly destination: string
  readonly state: string
  readonly message: LoggedMessage
}

/** What was not delivered to fakes, in the order of the log. */
export async function readParked(pool: pg.Pool, names: readonly string[]): Promise<ParkedMessage[]> {
  const { rows } = await pool.query<ParkedRow>(
    `select d.destination, d.state, m.id::text, m.topic, m.key, m.payload::text as payload, m.headers::text as headers
       from waybill.deliveries d join waybill.messages m on m.seq = d.seq and m.id = d.message_id
      where d.destination = any($1::text[]) order by d.seq`,
    [names],
  )
  return rows.map(({ destination, state, payload, headers, ...row }) => ({
    destination,
    state,
    message: {
      ...row,
      payload: JSON.parse(payload) as unknown,
      payloadText: payload,
      headers: JSON.parse(headers ?? '{}') as Record<string, string>,
    },
  }))
}

interface ParkedRow extends Pick<LoggedMessage, 'id' | 'topic' | 'key'> {
  readonly destination: string
  readonly state: string
  readonly payload: string
  readonly headers: string | null
}

/** What one call could not deliver is none of the next one's business, nor does it hold its keys back there. */
export async function dropParked(pool: pg.Pool): Promise<void> {
  await pool.query(
    `select waybill.drop_deliveries('left over by deliverNow', p_destination => d.name)
       from waybill.destinations d where d.kind = $1::text
        and exists (select from waybill.deliveries x where x.destination = d.name)`,
    [fakeKind],
  )
}
