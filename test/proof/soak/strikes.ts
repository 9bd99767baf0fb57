import { type Fault, type Scene, strike } from '../faults/fault.js'
import { faults } from '../faults/index.js'
import { waitFor } from '../../support/wait-for.js'
import { withClient } from '../../support/with-client.js'
import { readCpuTimes, sharesOf } from './machine.js'

/**
 * Faults that leave the same servers running, so that they can strike for hours. Left out: `failover`, `dump-restore`, the
 * switch-overs and the promotions, after which the database is another; `kafka-leader`, which needs three brokers;
 * `disk-full`, for which the write-ahead log would live on a disk of 128 MiB all the time; deployments, which end the
 * dispatcher whose memory is watched; what needs another application, other roles or a router.
 */
export const repeatable: readonly Fault[] = [
  ...['kill', 'freeze', 'clock-dispatcher'],
  ...['database-restart', 'database-crash', 'database-silent', 'database-forgotten', 'clock-database'],
  ...['terminate', 'holder', 'connections'],
  ...['rabbitmq-kill', 'rabbitmq-silent', 'rabbitmq-alarm', 'queue-deleted'],
  ...['kafka-kill', 'kafka-frozen', 'kafka-silent'],
  ...['webhook-silent', 'partner'],
].map(faultNamed)

export function faultNamed(name: string): Fault {
  const fault = faults.find((each) => each.name === name)
  if (!fault) throw new Error(`no fault ${name}; there are ${faults.map((each) => each.name).join(', ')}`)
  return fault
}

/** Shuffled again and again: drawn at random, and each as often as any other. */
export function* drawn<T>(all: readonly T[], random: () => number): Generator<T> {
  for (;;) {
    const deck = [...all]
    while (deck.length > 0) yield* deck.splice(Math.floor(random() * deck.length), 1)
  }
}

export interface Strike {
  readonly fault: string
  /** Since the load began. */
  readonly atMs: number
  readonly lastedMs: number
  /** From its end until all that was published before its end was delivered. */
  readonly recoveredMs: number
  /** Share of the machine's cores that others had from its start until recovery. */
  readonly stolen: number
}

/** It strikes, and what was published until its end is waited for. */
export async function strikeAndRecover(fault: Fault, scene: Scene, startedAt: number): Promise<Strike> {
  const began = performance.now()
  const before = await readCpuTimes()
  await strike(fault, scene)
  const ended = performance.now()
  const tip = await waitFor(() => lastSeq(scene.set.url).catch(() => undefined), { what: 'the database answers' })
  const recovered = (): Promise<boolean> => deliveredUpTo(scene.set.url, tip).catch(() => false)
  await waitFor(recovered, { timeoutMs: 120_000, intervalMs: 100, what: `recovery after ${fault.name}` })
  return {
    ...{ fault: fault.name, atMs: Math.round(began - startedAt) },
    ...{ lastedMs: Math.round(ended - began), recoveredMs: Math.round(performance.now() - ended) },
    stolen: sharesOf(before, await readCpuTimes()).stolen,
  }
}

async function lastSeq(url: string): Promise<string | undefined> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ last: string }>('select last_value::text as last from waybill.message_seq'),
  )
  return rows[0]?.last
}

/** All lanes have read so far, and nothing of it is parked. */
async function deliveredUpTo(url: string, seq: string): Promise<boolean> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ done: boolean }>(
      `select bool_and(read_seq >= $1::bigint)
              and not exists (select from waybill.deliveries d where d.seq <= $1::bigint) as done
         from waybill.lane_cursor`,
      [seq],
    ),
  )
  return rows[0]?.done === true
}
