import { setTimeout as sleep } from 'node:timers/promises'
import { randomOf } from '../../scripts/demo/receiver.js'
import { type Fault, type Scene, healed, strike } from './faults/fault.js'
import type { Load } from './load.js'
import { openScene } from './scene.js'
import { type Stage, untilDelivered, whatIsLeft } from './stage.js'
import { type Tally, tally } from './tally.js'

export interface ProofOptions {
  readonly seed: string
  /** How long messages are published and faults strike. */
  readonly seconds: number
  readonly rate: number
}

export interface ProofResult extends Tally {
  readonly fault: string
  readonly title: string
  readonly seed: string
  readonly seconds: number
  readonly strikes: number
  readonly published: number
  /** What was not as it has to be, beside what is counted. */
  readonly complaints: readonly string[]
  /** From the end of load and faults until nothing was undelivered. */
  readonly recoveredMs: number
}

/** Publishes while the faults strike, and counts what every receiver holds in the end. */
export async function prove(stage: Stage, chosen: readonly Fault[], options: ProofOptions): Promise<ProofResult> {
  const name = chosen.map((fault) => fault.name).join('+')
  const random = randomOf(`${options.seed}/${name}`)
  const { scene, load, close } = await openScene(stage, {
    ...{ faults: chosen, random },
    load: { random, rate: options.rate, clients: 6 },
  })
  try {
    load.start()
    const beside = chosen.filter((fault) => fault.beside)
    const inTurn = chosen.filter((fault) => !fault.beside)
    const ways = [...beside.map((fault) => [fault]), ...(inTurn.length > 0 ? [inTurn] : [])]
    const struck = await Promise.all(ways.map((way) => strikeAll(scene, way, options.seconds)))
    await healed(scene)
    await load.stop()
    const ended = performance.now()
    const complaints: string[] = []
    for (const fault of chosen) complaints.push(...((await fault.afterLoad?.(scene, load)) ?? []))
    await untilAllDelivered(scene)
    const recoveredMs = performance.now() - ended
    await scene.fleet.stop()
    return {
      ...{ fault: name, title: chosen.map((fault) => fault.title).join('; '), seed: options.seed },
      ...{ seconds: options.seconds, strikes: struck.flat().length, recoveredMs: Math.round(recoveredMs) },
      ...{ published: load.published, complaints: [...complaints, ...complaintsOf(load, chosen)] },
      ...(await tally(scene, load)),
    }
  } finally {
    await close()
  }
}

function complaintsOf({ failed, lastFailure }: Load, chosen: readonly Fault[]): string[] {
  if (failed === 0 || !chosen.every((fault) => fault.undisturbed)) return []
  return [`${failed} transactions of the application failed, the last with ${String(lastFailure)}`]
}

/** Resolves to the milliseconds until nothing was undelivered; its error says what is left. */
export async function untilAllDelivered({ set, fleet }: Scene): Promise<number> {
  return untilDelivered(set.url, 120_000).catch(async (error: unknown) => {
    throw new Error(`${String(error)}\n${await whatIsLeft(set.url)}\n${fleet.output()}`, { cause: error })
  })
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
      await strike(fault, scene)
      strikes.push(fault)
    }
    await sleep(Math.max(0, Math.min(1500 + random() * 1500, end - performance.now())))
  }
  return strikes
}
