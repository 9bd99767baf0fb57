import { setTimeout as sleep } from 'node:timers/promises'
import { randomOf } from '../../scripts/demo/receiver.js'
import { type Arrival, judge } from '../../scripts/demo/verdict.js'
import { withClient } from '../support/with-client.js'
import { type Fault, type Scene, healed, leaseMs } from './faults.js'
import { Fleet } from './fleet.js'
import { type LedgerRow, Load } from './load.js'
import { drainQueue, readJobs, readTopic } from './receivers.js'
import { type StageSet, type Stage, untilDelivered, whatIsLeft } from './stage.js'

export interface ProofOptions {
  readonly seed: string
  /** How long messages are published and faults strike. */
  readonly seconds: number
  readonly rate: number
}

export interface DestinationCount {
  readonly destination: string
  readonly delivered: number
  readonly lost: number
  readonly phantoms: number
  /** Delivered, and then its commit was taken back by a failover to a stand-by that never had it. */
  readonly takenBack: number
  readonly duplicates: number
  /** Null where no order is promised. */
  readonly outOfOrder: number | null
}

export interface ProofResult {
  readonly fault: string
  readonly title: string
  readonly seed: string
  readonly seconds: number
  readonly strikes: number
  readonly published: number
  readonly committed: number
  readonly destinations: readonly DestinationCount[]
  /** Duplicates that so many starts of lanes allow, a window for each, all destinations together. */
  readonly duplicatesAllowed: number
  /** From the end of load and faults until nothing was undelivered. */
  readonly recoveredMs: number
}

const shards = 2
const window = 100
const dispatchers = 3

/** Publishes while the faults strike, and counts what every receiver holds in the end. */
export async function prove(stage: Stage, chosen: readonly Fault[], options: ProofOptions): Promise<ProofResult> {
  const name = chosen.map((fault) => fault.name).join('+')
  const random = randomOf(`${options.seed}/${name}`)
  const needs = new Set(chosen.flatMap((fault) => fault.needs ?? []))
  const set = await stage.set(needs)
  const load = new Load({ url: set.url, random, rate: options.rate, clients: 6, keys: 40 })
  const fleet = new Fleet({
    ...{
      webhookUrl: set.webhookLink.through(stage.webhookUrl),
      brokers: set.brokers.map(({ url }) => url),
      queue: set.name,
      kafkaTopic: set.name,
    },
    ...{ leaseMs, shards, window },
    databaseUrl: set.databaseLink.through(set.url),
    amqpUrl: stage.rabbit.link.through(stage.rabbit.url),
  })
  const scene: Scene = { stage, set, fleet, random }
  try {
    await load.prepare()
    await fleet.start(dispatchers, { clocks: needs.has('clocks') })
    load.start()
    const strikes = await strikeAll(scene, chosen, options.seconds)
    await healed(scene)
    await load.stop()
    const recoveredMs = await untilDelivered(set.url, 120_000).catch(async (error: unknown) => {
      throw new Error(`${String(error)}\n${await whatIsLeft(set.url)}\n${fleet.output()}`, { cause: error })
    })
    await fleet.stop()
    const ledger = await load.ledger()
    return {
      ...{ fault: name, title: chosen.map((fault) => fault.title).join('; '), seed: options.seed },
      ...{ seconds: options.seconds, strikes: strikes.length, recoveredMs: Math.round(recoveredMs) },
      ...{ published: load.fates.size, committed: ledger.length },
      destinations: await count(stage, set, load, ledger),
      duplicatesAllowed: await allowed(set, fleet.restarts, stage.partner.denied),
    }
  } finally {
    await fleet.stop()
    await load.stop()
    await load.end()
    for (const server of [set.standby, set.newServer, set.cluster]) await server?.crash().catch(() => undefined)
  }
}

async function strikeAll(scene: Scene, chosen: readonly Fault[], seconds: number): Promise<Fault[]> {
  const { random } = scene
  const end = performance.now() + seconds * 1000
  const strikes: Fault[] = []
  await sleep(1500)
  while (performance.now() < end) {
    const possible = chosen.filter((fault) => !fault.once || !strikes.includes(fault))
    const fault = possible[Math.floor(random() * possible.length)]
    if (fault) {
      await strikeWithin(120_000, fault, scene)
      strikes.push(fault)
    }
    await sleep(Math.max(0, Math.min(1500 + random() * 1500, end - performance.now())))
  }
  return strikes
}

// One that hangs fails its own scenario, and not the ones after it.
async function strikeWithin(ms: number, fault: Fault, scene: Scene): Promise<void> {
  const over = new AbortController()
  const late = sleep(ms, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${fault.name} did not end within ${ms} ms`)
  })
  await Promise.race([fault.strike(scene), late]).finally(() => over.abort())
}

/**
 * What a lane has in its window when it is started again, by whomever, is sent again, and so is what was in flight when a
 * network fell silent. The job queue repeats nothing.
 */
async function allowed({ url, silenced }: StageSet, restarts: number, denied: number): Promise<number> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ n: number }>(
      `select coalesce(sum(epoch - 1), 0)::int as n from waybill.lanes where destination <> 'work'`,
    ),
  )
  return ((rows[0]?.n as number) + restarts + silenced.length * shards) * window + denied
}

async function count(
  stage: Stage,
  set: StageSet,
  load: Load,
  ledger: readonly LedgerRow[],
): Promise<DestinationCount[]> {
  const arrivals: [string, readonly Arrival[], boolean][] = [
    ['webhook', stage.partner.arrivals, true],
    ['rabbitmq', [...set.drained, ...(await drainQueue(stage.rabbit.url, set.name))], true],
    [
      'kafka',
      await readTopic(
        set.brokers.map(({ url }) => url),
        set.name,
      ),
      true,
    ],
    ['jobs', await readJobs(set.url), false],
  ]
  const expected = ledger.map((row) => ({ ...row, topic: 'order.changed' }))
  const committed = new Set(ledger.map(({ id }) => id))
  return arrivals.map(([destination, list, ordered]) => {
    const strangers = new Set(list.filter(({ id }) => !committed.has(id)).map(({ id }) => id))
    // only with a failover may a commit that its client saw go through be gone
    const takenBack = set.standby ? [...strangers].filter((id) => load.fates.get(id) !== 'rolled back').length : 0
    const verdict = judge(expected, list, { ordered })
    return {
      ...{ destination, takenBack },
      ...{ delivered: verdict.delivered, lost: verdict.lost, duplicates: verdict.duplicates },
      phantoms: verdict.phantoms - takenBack,
      outOfOrder: verdict.outOfOrder ?? null,
    }
  })
}
