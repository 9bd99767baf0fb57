import { setTimeout as sleep } from 'node:timers/promises'
import { says } from '../../support/cluster.js'
import { waitFor } from '../../support/wait-for.js'
import type { Scene } from '../faults/fault.js'
import type { Load } from '../load.js'
import { untilAllDelivered } from '../run.js'

const loadMs = 2000

/**
 * Runs `measure` in a state that is the same each time: the first dispatcher holds all lanes, each of which has delivered
 * a moment ago, and nothing is published or under way. Otherwise a dispatcher that came to hold a Kafka lane later than at
 * the first measurement seems to have grown by its client. Then the load goes on.
 */
export async function atRest<T>(scene: Scene, load: Load, measure: () => Promise<T>): Promise<T> {
  const { set, fleet } = scene
  const rested = fleet.whileFrozen(1, async () => {
    const alone = `select bool_and(d.pid = ${fleet.pid(0)}) as yes
                     from waybill.lanes l left join waybill.dispatchers d on d.id = l.dispatcher`
    await waitFor(() => says(set.url, alone), { timeoutMs: 60_000, what: 'one dispatcher holds all lanes' })
    await sleep(loadMs)
    await load.stop()
    await untilAllDelivered(scene)
    return measure()
  })
  return rested.finally(() => load.start())
}
