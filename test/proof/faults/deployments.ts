import type { DeliveryOptions } from '../../../src/config/destinations/delivery.js'
import { type Configuration, firstConfiguration } from '../configurations.js'
import { type Fault, type Scene, between } from './fault.js'

const topics = ['order.changed', 'order.paid', 'audit.noted']

/** Every other generation is wide; each change brings topics to some destinations, and one takes a topic from a destination. */
function routesOf(generation: number): Configuration {
  const wide = generation % 2 === 0
  return {
    generation,
    wants: {
      crm: wide ? ['**'] : ['order.changed'],
      bus: wide ? ['order.changed', 'order.paid'] : ['order.changed', 'audit.noted'],
      lake: ['**'],
      work: wide ? ['**'] : ['order.changed', 'order.paid'],
    },
  }
}

/** What may change beside routes. Destinations that are added have names of their own each time. */
function reconfigured(generation: number): Configuration {
  const first = generation % 2 === 0
  const round = Math.floor(generation / 2)
  const added: Record<string, DeliveryOptions> = first
    ? { [`new-${round}`]: { from: 'latest' }, [`name-${round}`]: { from: 'earliest' } }
    : {
        [`new-${round}`]: { from: 'latest' },
        // another name for a destination: one that goes, and one that comes
        [`renamed-${round}`]: { from: 'earliest' },
        [`dated-${round}`]: { from: new Date(Date.now() - 2000) },
      }
  return {
    generation,
    wants: { ...firstConfiguration.wants, ...Object.fromEntries(Object.keys(added).map((name) => [name, ['**']])) },
    options: first
      ? { ...added, crm: { order: 'none' }, bus: { shards: 3 }, lake: { onDead: 'release' }, work: { shards: 1 } }
      : added,
  }
}

async function deploy(scene: Scene, configure: (generation: number) => Configuration): Promise<void> {
  const { deployments, fleet } = scene
  const configuration = configure(deployments.newest.generation + 1)
  deployments.begin(configuration)
  await fleet.deploy(configuration, () => between(scene, 500, 2500))
}

export const deploymentFaults: readonly Fault[] = [
  {
    name: 'deploy',
    title: 'dispatchers are replaced one after another by ones with wider or narrower routes',
    beside: true,
    first: routesOf(1),
    load: { topics },
    undisturbed: true,
    strike: (scene) => deploy(scene, routesOf),
  },
  {
    name: 'reconfigure',
    title:
      'dispatchers are replaced so by ones with another order, onDead and shards, with destinations added, renamed and removed',
    beside: true,
    first: firstConfiguration,
    undisturbed: true,
    async strike(scene) {
      await deploy(scene, reconfigured)
      await deploy(scene, reconfigured)
    },
  },
]
