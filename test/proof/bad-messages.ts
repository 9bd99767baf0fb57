import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { retryDeliveries } from '../../src/app/operate.js'
import type { ArrivalLog } from './arrival-log.js'
import type { Scene } from './faults/fault.js'
import type { Load } from './load.js'
import { type Manner, drainQueue } from './receivers.js'

/** How the partner refuses a bad message; a network in front of RabbitMQ cuts every connection that one passes. */
export const badKinds = ['cut', '403', '503', 'silence'] as const
export type BadKind = (typeof badKinds)[number]

/** Bad messages alone have keys that begin so: what is held back behind them is theirs. */
export const badKeys = 'bad-'

const mark = 'a-message-that-is-refused'
/** After the load's end; good messages that wait for longer wait for the bad ones. */
const goodWithinMs = 90_000
/** Until the last bad one has had its attempts. */
const parkedWithinMs = 120_000

export const badMark = (kind: BadKind): string => `${mark}-${kind}`

/** Until everything is accepted, bad messages are refused. */
export function refuseBad({ stage, set }: Scene): void {
  stage.partner.manner = (body) => refusals.find(([text]) => body.includes(text))?.[1] ?? accepted
  // what was in flight there comes again
  stage.rabbit.link.cutWhere(Buffer.from(mark), () => set.silenced.push('bus'))
}

const accepted: Manner = { stores: true, reply: { status: 204 } }
const refusals: readonly (readonly [string, Manner])[] = [
  [badMark('cut'), { stores: false, reply: 'destroy' }],
  [badMark('403'), { stores: false, reply: { status: 403 } }],
  [badMark('503'), { stores: false, reply: { status: 503, headers: { 'retry-after': '1' } } }],
  [badMark('silence'), { stores: false, reply: 'hang' }],
]

/**
 * Every good message is to arrive while the bad are refused, and these are to be parked; then all are accepted, and an
 * operator retries. Gives what was not so.
 */
export async function goodArriveAndBadAreRetried(scene: Scene, load: Load): Promise<string[]> {
  const { stage, set } = scene
  const ledger = await load.ledger()
  const good: string[] = []
  const bad: string[] = []
  for (const { id, key } of ledger) (key.startsWith(badKeys) ? bad : good).push(id)
  const arrivals = async (): Promise<Readonly<Record<'crm' | 'bus', ArrivalLog>>> => {
    set.drained.addAll(await drainQueue(stage.rabbit.url, set.name))
    return { crm: stage.partner.arrivals('crm'), bus: set.drained }
  }
  const missing = async (): Promise<Counts> => {
    const { crm, bus } = await arrivals()
    return { crm: missingFrom(crm, good).length, bus: missingFrom(bus, good).length }
  }
  const late = await leftAfter(goodWithinMs, missing)
  // where nothing else is sent, a message that fails can't be told from a receiver that is down
  load.bad = false
  load.start()
  const pool = new pg.Pool({ connectionString: set.url, max: 2 })
  try {
    // those that came before the first strike were accepted
    const arrived = await arrivals()
    const refused = Object.entries(arrived).map(([name, log]) => [name, missingFrom(log, bad)] as const)
    const unparked = late ? undefined : await leftAfter(parkedWithinMs, () => notParked(pool, refused))
    const where = unparked && (await statesOfBad(pool))
    await load.stop()
    stage.partner.behave()
    stage.rabbit.link.restore()
    await retryDeliveries(pool, {}, { reason: 'the receivers accept them now' })
    return [
      ...refused.flatMap(([name, ids]) =>
        ids.length > 0 ? [] : [`${name} refused none of ${bad.length} bad messages`],
      ),
      ...(late ? [`${late} of ${good.length} good messages beside ${bad.length} bad ones did not arrive`] : []),
      ...(unparked ? [`${unparked} of ${bad.length} bad messages were not parked: ${where}`] : []),
    ]
  } finally {
    await load.stop()
    await pool.end()
  }
}

type Counts = Readonly<Record<string, number>>

function missingFrom(arrivals: ArrivalLog, ids: readonly string[]): string[] {
  const there = new Set([...arrivals].map(({ id }) => id))
  return ids.filter((id) => !there.has(id))
}

/** Dead, or held behind a dead one of their key. */
async function notParked(pool: pg.Pool, refused: readonly (readonly [string, readonly string[]])[]): Promise<Counts> {
  const counts: Record<string, number> = {}
  for (const [destination, ids] of refused) {
    const { rows } = await pool.query<{ parked: number }>(
      `select count(*)::int as parked from waybill.deliveries
        where destination = $1 and message_id = any($2) and state in ('dead', 'held')`,
      [destination, ids],
    )
    counts[destination] = ids.length - (rows[0]?.parked ?? 0)
  }
  return counts
}

/** For whom reads a complaint: what the others wait for. */
async function statesOfBad(pool: pg.Pool): Promise<string> {
  const { rows } = await pool.query<{ state: string }>(
    `select format('%s at %s: %s, attempt %s, %s', count(*), destination, state, attempt, error_code) as state
       from waybill.deliveries where key like '${badKeys}%' group by destination, deliveries.state, attempt, error_code
     union all
     select format('lane of %s: %s, %s', destination, pause_kind, pause_reason) from waybill.lanes
      where pause_kind is not null`,
  )
  return rows.map(({ state }) => state).join('; ')
}

/** Waits until all these counts are 0; otherwise it gives them. */
async function leftAfter(withinMs: number, counts: () => Promise<Counts>): Promise<string | undefined> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const left = await counts()
    if (Object.values(left).every((n) => n === 0)) return undefined
    if (performance.now() > deadline) return `after ${withinMs / 1000} s ${JSON.stringify(left)}`
    await sleep(200)
  }
}
