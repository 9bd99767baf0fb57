import { type Arrival, judge } from '../../scripts/demo/verdict.js'
import { withClient } from '../support/with-client.js'
import type { ArrivalLog } from './arrival-log.js'
import { type Note, usual } from './configurations.js'
import type { Scene } from './faults/fault.js'
import type { Load } from './load.js'
import { drainQueue, readJobs, readTopic } from './receivers.js'
import { shards, window } from './scene.js'

export interface DestinationCount {
  readonly destination: string
  /** Committed, and wanted there by what was deployed then. */
  readonly wanted: number
  /** Of these. */
  readonly delivered: number
  readonly lost: number
  /** Never committed, or not wanted there by anything that was deployed then. */
  readonly phantoms: number
  /** Delivered, and then its commit was taken back by a failover to a stand-by that never had it. */
  readonly takenBack: number
  readonly duplicates: number
  /** Null where no order is promised. */
  readonly outOfOrder: number | null
}

export interface Tally {
  readonly committed: number
  readonly destinations: readonly DestinationCount[]
  /** On a new server what clients had open while lanes found their way may come twice, jobs too. */
  readonly jobsTwiceAllowed: number
  /** Duplicates that so many starts of lanes allow, a window for each, all destinations together. */
  readonly duplicatesAllowed: number
}

/** Compares what was committed with what every receiver holds, once the dispatchers have ended. */
export async function tally({ stage, set, fleet, deployments }: Scene, load: Load): Promise<Tally> {
  const ledger = await load.ledger()
  set.drained.addAll(await drainQueue(stage.rabbit.url, set.name))
  const brokers = set.brokers.map(({ url }) => url)
  const { partner } = stage
  const arrivals: [string, string, Iterable<Arrival>][] = [
    ['crm', 'webhook', partner.arrivals('crm')],
    ['bus', 'rabbitmq', set.drained],
    ['lake', 'kafka', await readTopic(brokers, set.name)],
    ['work', 'jobs', await readJobs(set.url)],
  ]
  for (const name of deployments.destinations)
    if (!usual.some((each) => each === name)) arrivals.push([name, name, partner.arrivals(name)])
  const noteOf = (id: string): Note | undefined => load.notes.get(id)
  const destinations = arrivals.map(([name, destination, list]) => {
    // only with a failover may a commit that its client saw go through be gone
    const takenBack = set.takesBack ? countTakenBack(ledger, list, load.rolledBack) : 0
    const those = (answer: 'yes' | 'either'): Iterable<Arrival> =>
      filtered(ledger, ({ id }) => deployments.isWanted(name, noteOf(id)) === answer)
    const verdict = judge(those('yes'), list, {
      optional: those('either'),
      ordered: name === 'work' ? false : (id) => deployments.isOrdered(name, noteOf(id)),
    })
    return {
      ...{ destination, takenBack, wanted: verdict.published },
      ...{ delivered: verdict.delivered, lost: verdict.lost, duplicates: verdict.duplicates },
      phantoms: verdict.phantoms - takenBack,
      outOfOrder: verdict.outOfOrder ?? null,
    }
  })
  const starts = (await takenOver(set.url)) + fleet.restarts + set.silenced.length * shards
  const duplicatesAllowed = starts * window + stage.partner.denied
  const jobsTwiceAllowed = set.newServer ? load.clients : 0
  return { committed: ledger.length, destinations, jobsTwiceAllowed, duplicatesAllowed }
}

function* filtered(ledger: ArrivalLog, fits: (arrival: Arrival) => boolean): Generator<Arrival> {
  for (const arrival of ledger) if (fits(arrival)) yield arrival
}

function countTakenBack(ledger: Iterable<Arrival>, list: Iterable<Arrival>, rolledBack: ReadonlySet<string>): number {
  const committed = new Set<string>()
  for (const { id } of ledger) committed.add(id)
  const gone = new Set<string>()
  for (const { id } of list) if (!committed.has(id) && !rolledBack.has(id)) gone.add(id)
  return gone.size
}

/**
 * What a lane has in its window when it is started again, by whomever, is sent again, and so is what was in flight when a
 * network fell silent. The job queue repeats nothing.
 */
async function takenOver(url: string): Promise<number> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ n: number }>(
      `select coalesce(sum(epoch - 1), 0)::int as n from waybill.lanes where destination <> 'work'`,
    ),
  )
  return rows[0]?.n as number
}
