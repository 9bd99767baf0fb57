import { setTimeout as sleep } from 'node:timers/promises'
import { type Configuration, firstConfiguration } from '../configurations.js'
import type { Load } from '../load.js'
import { type Fault, type Scene, between } from './fault.js'

/** More than half of libuv's threads, which is what `getaddrinfo` gets. */
const dead = ['far-1', 'far-2', 'far-3', 'far-4']
const healthyName = 'near.test'

const configuration: Configuration = {
  ...firstConfiguration,
  wants: { ...firstConfiguration.wants, ...Object.fromEntries(dead.map((name) => [name, ['**']])) },
  hosts: { crm: healthyName, ...Object.fromEntries(dead.map((name) => [name, `${name}.test`])) },
}
/** After the load's end; what waits for longer waits for name servers that are not its own. */
const healthyWithinMs = 10_000

/** Every connection of the healthy partner is a new one, which needs its name. */
function partnerCloses({ stage }: Scene): void {
  stage.partner.manner = () => ({ stores: true, reply: { status: 204, headers: { connection: 'close' } } })
}

async function healthyHasAll({ stage, set }: Scene, load: Load): Promise<string[]> {
  const ids = Array.from(await load.ledger(), ({ id }) => id)
  const deadline = performance.now() + healthyWithinMs
  for (;;) {
    const there = new Set([...stage.partner.arrivals('crm')].map(({ id }) => id))
    const missing = ids.filter((id) => !there.has(id)).length
    if (missing > 0 && performance.now() < deadline) {
      await sleep(200)
      continue
    }
    const reached = dead.filter((name) => stage.partner.arrivals(name).length > 0)
    for (const name of dead) set.nameServer.set(`${name}.test`, ['127.0.0.1'], 0)
    stage.partner.behave()
    return [
      ...(missing > 0
        ? [`${missing} of ${ids.length} messages waited for the name servers of another destination`]
        : []),
      ...reached.map((name) => `${name} was reached although nothing told its address`),
    ]
  }
}

export const nameFaults: readonly Fault[] = [
  {
    name: 'dead-name-servers',
    title: "four partners' name servers say nothing, beside a healthy partner each of whose connections needs its name",
    first: configuration,
    undisturbed: true,
    async strike(scene) {
      const { nameServer } = scene.set
      nameServer.set(healthyName, ['127.0.0.1'], 0)
      for (const name of dead) nameServer.set(`${name}.test`, 'silent')
      partnerCloses(scene)
      await sleep(between(scene, 4000, 6000))
    },
    afterLoad: healthyHasAll,
  },
]
