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
  let bad = 0
  for (const { id, key } of ledger) {
    if (key.startsWith(badKeys)) bad++
    else good.push(id)
  }
  const missing = async (): Promise<Counts> => {
    set.drained.addAll(await drainQueue(stage.rabbit.url, set.name))
    return { webhook: missingFrom(stage.partner.arrivals('crm'), good), rabbitmq: missingFrom(set.drained, good) }
  }
  const late = await leftAfter(goodWithinMs, missing)
  // where nothing else is sent, a message that fails can't be told from a receiver that is down
  load.bad = false
  load.start()
  const pool = new pg.Pool({ connectionString: set.url, max: 2 })
  try {
    const unparked = late ? undefined : await leftAfter(parkedWithinMs, () => notParked(pool, bad))
    await load.stop()
    stage.partner.behave()
    stage.rabbit.link.restore()
    await retryDeliveries(pool, {}, { reason: 'the receivers accept them now' })
    return [
      ...(late ? [`${late} of ${good.length} good messages beside ${bad} bad ones did not arrive`] : []),
      ...(unparked ? [`${unparked} of ${bad} bad messages were not parked`] : []),
    ]
  } finally {
    await load.stop()
    await pool.end()
  }
}

type Counts = Readonly<Record<string, number>>

function missingFrom(arrivals: ArrivalLog, ids: readonly string[]): number {
  const there = new Set([...arrivals].map(({ id }) => id))
  return ids.filter((id) => !there.has(id)).length
}

/** Dead, or held behind a dead one of their key. */
async function notParked(pool: pg.Pool, bad: number): Promise<Counts> {
  const { rows } = await pool.query<{ destination: string; parked: number }>(
    `select d.name as destination, count(p.seq)::int as parked
       from waybill.destinations d
       left join waybill.deliveries p on p.destination = d.name and p.key like '${badKeys}%' and p.state in ('dead', 'held')
      where d.name in ('crm', 'bus') group by 1`,
  )
  return Object.fromEntries(rows.map(({ destination, parked }) => [destination, bad - parked]))
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
