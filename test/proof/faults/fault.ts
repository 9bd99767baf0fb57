import { setTimeout as sleep } from 'node:timers/promises'
import { waitFor } from '../../support/wait-for.js'
import { withClient } from '../../support/with-client.js'
import type { Configuration, Deployments } from '../configurations.js'
import type { Fleet } from '../fleet.js'
import type { Load, Manner } from '../load.js'
import type { Workers } from '../poison-jobs/workers.js'
import type { Need, Stage, StageSet } from '../stage.js'

/** Of the lanes of the proof. */
export const leaseMs = 3000
/** One that hangs fails its own scenario, and not the ones after it. */
const strikeMs = 120_000

export interface Scene {
  readonly stage: Stage
  readonly set: StageSet
  readonly fleet: Fleet
  readonly deployments: Deployments
  /** Of the job queue; only where a fault starts them. */
  readonly workers: Workers
  readonly random: () => number
}

export interface Fault {
  readonly name: string
  /** What happens, as the table says it. */
  readonly title: string
  /** It begins and ends within. */
  readonly strike: (scene: Scene) => Promise<void>
  /** Once, and not again. */
  readonly once?: boolean
  readonly needs?: readonly Need[]
  /** Strikes side by side with the others of its mixture, and not in turn with them. */
  readonly beside?: boolean
  /** What dispatchers begin with, where it deploys others; what publishers see of them is noted then. */
  readonly first?: Configuration
  /** How the application differs from the usual one. */
  readonly load?: Manner
  /** No transaction of the application may fail. */
  readonly undisturbed?: boolean
  /** What follows when the load has ended, before everything is to be delivered. Gives what was not as it has to be. */
  readonly afterLoad?: (scene: Scene, load: Load) => Promise<readonly string[]>
}

export const between = (scene: Scene, low: number, high: number): number => low + scene.random() * (high - low)
export const anyone = ({ fleet, random }: Scene): number => Math.floor(random() * fleet.size)
export const mortal = ({ fleet, random }: Scene): number =>
  fleet.spared + Math.floor(random() * (fleet.size - fleet.spared))

/** Begins, lasts for a random while, and ends as `begin` says, also when the proof is interrupted in between. */
export const lasting =
  (low: number, high: number, begin: (scene: Scene) => Promise<() => unknown>) =>
  async (scene: Scene): Promise<void> => {
    const end = await begin(scene)
    await sleep(between(scene, low, high)).finally(end)
  }

/** A port at which nobody listens (tcpmux). */
export const nowhere = 1

/** Seconds that a clock is set off by. */
export const step = ({ random }: Scene): number => (random() < 0.5 ? -3600 : 3600)

/** Ends as the fault does; one that hangs rejects. */
export async function strike(fault: Fault, scene: Scene): Promise<void> {
  const over = new AbortController()
  const late = sleep(strikeMs, undefined, { signal: over.signal }).then(() => {
    throw new Error(`${fault.name} did not end within ${strikeMs} ms`)
  })
  await Promise.race([fault.strike(scene), late]).finally(() => over.abort())
}

/** Resolves when all that a fault may have left behind answers again. */
export async function healed({ set }: Scene): Promise<void> {
  await waitFor(() => withClient(set.url, () => Promise.resolve(true)).catch(() => false), { timeoutMs: 60_000 })
}
