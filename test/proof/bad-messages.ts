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
const goodWithinMs = 30_000
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

/** Every good message has arrived while the bad were refused; these are parked; then all are accepted, and an operator retries. */
export async function goodArriveAndBadAreRetried(scene: Scene, load: Load): Promise<void> {
  const { stage, set } = scene
  const ledger = await load.ledger()
  const good: string[] = []
  let bad = 0
  for (const { id, key } of ledger) {
    if (key.startsWith(badKeys)) bad++
    else good.push(id)
  }
  const missing = async (): Promise<Record<string, number>> => {
    set.drained.addAll(await drainQueue(stage.rabbit.url, set.name))
    return { webhook: missingFrom(stage.partner.arrivals('crm'), good), rabbitmq: missingFrom(set.drained, good) }
  }
  await until(goodWithinMs, missing, `of ${good.length} good messages beside ${bad} bad ones have not arrived`)
  const pool = new pg.Pool({ connectionString: set.url, max: 2 })
  try {
    await until(parkedWithinMs, () => notParked(pool, bad), `of ${bad} bad messages are not parked`)
    stage.partner.behave()
    stage.rabbit.link.restore()
    await retryDeliveries(pool, {}, { reason: 'the receivers accept them now' })
  } finally {
    await pool.end()
  }
}

function missingFrom(arrivals: ArrivalLog, ids: readonly string[]): number {
  const there = new Set([...arrivals].map(({ id }) => id))
  return ids.filter((id) => !there.has(id)).length
}

/** Dead, or held behind a dead one of their key. */
async function notParked(pool: pg.Pool, bad: number): Promise<Record<string, number>> {
  const { rows } = await pool.query<{ destination: string; parked: number }>(
    `select d.name as destination, count(p.seq)::int as parked
       from waybill.destinations d
       left join waybill.deliveries p on p.destination = d.name and p.key like '${badKeys}%' and p.state in ('dead', 'held')
      where d.name in ('crm', 'bus') group by 1`,
  )
  return Object.fromEntries(rows.map(({ destination, parked }) => [destination, bad - parked]))
}

/** Until all these counts are 0. */
async function until(withinMs: number, counts: () => Promise<Record<string, number>>, what: string): Promise<void> {
  const deadline = performance.now() + withinMs
  for (;;) {
    const left = await counts()
    if (Object.values(left).every((n) => n === 0)) return
    if (performance.now() > deadline) throw new Error(`after ${withinMs} ms ${JSON.stringify(left)} ${what}`)
    await sleep(200)
  }
}
