import { Deployments, firstConfiguration } from './configurations.js'
import { type Fault, type Scene, leaseMs } from './faults/fault.js'
import { Fleet } from './fleet.js'
import { Load, type Manner } from './load.js'
import { Workers } from './poison-jobs/workers.js'
import type { Stage } from './stage.js'

export const shards = 2
export const window = 100
export const dispatchers = 3

export interface SceneOptions {
  /** Those that may strike: what they need is there. */
  readonly faults: readonly Fault[]
  readonly load: { readonly random: () => number; readonly rate: number; readonly clients: number }
  /** Of the faults. */
  readonly random: () => number
  /** Dispatchers that are never killed. */
  readonly spared?: number
  readonly maintenance?: boolean
}

export interface OpenScene {
  readonly scene: Scene
  /** Prepared, and not started. */
  readonly load: Load
  readonly close: () => Promise<void>
}

/** A database, a queue and a topic of its own, dispatchers that run, and an application that is ready to publish. */
export async function openScene(stage: Stage, options: SceneOptions): Promise<OpenScene> {
  const needs = new Set(options.faults.flatMap((fault) => fault.needs ?? []))
  const set = await stage.set(needs)
  const first = options.faults.find((fault) => fault.first)?.first
  const deployments = new Deployments(first ?? firstConfiguration)
  const load = new Load({
    ...{ url: set.url, keys: 40, deployments: first && deployments, ...options.load },
    manner: Object.assign({}, ...options.faults.map((fault) => fault.load ?? {})) as Manner,
  })
  const fleet = new Fleet(
    {
      ...{
        webhookUrl: set.webhookLink.through(stage.webhookUrl),
        brokers: set.brokers.map(({ url }) => url),
        queue: set.name,
        kafkaTopic: set.name,
        nameServer: set.nameServer.address,
      },
      ...{ leaseMs, shards, window, maintenance: options.maintenance ?? false },
      ...{ databaseUrl: set.dispatcherUrl, configuration: deployments.newest },
      amqpUrl: stage.rabbit.link.through(stage.rabbit.url),
    },
    { spared: options.spared ?? 0 },
  )
  const workers = new Workers(set.url, leaseMs)
  const close = async (): Promise<void> => {
    await fleet.stop()
    await workers.stop()
    await load.stop()
    await load.end()
    set.nameServer.close()
    for (const server of [set.standby, set.newServer, set.cluster]) await server?.crash().catch(() => undefined)
  }
  try {
    await load.prepare()
    await fleet.start(dispatchers, { clocks: needs.has('clocks') })
  } catch (error) {
    await close()
    throw error
  }
  return { scene: { stage, set, fleet, deployments, workers, random: options.random }, load, close }
}
