import { type Delta, type Tick, followingDelta } from '../delta.js'
import type { StoredPosition } from '../lane-store.js'

/** How the messages of a destination are treated: which of them a lane wants, and in what order it sends them. */
export interface Treatment {
  readonly patterns: readonly string[]
  readonly order: 'key' | 'none'
  readonly onDead: 'hold' | 'release'
}

/**
 * A deployment that changed how a destination's messages are treated. What its tick sees is treated as before it; the rest
 * as deployed.
 */
export interface Barrier {
  /** Of the deployment. */
  readonly generation: number
  readonly before: Treatment
  readonly tick: Tick
}

type Standing = Pick<StoredPosition, 'delta' | 'after'>

/** What a lane reads next, up to where it must stop: all of it is treated alike. */
export interface Stretch {
  /** Deltas to read after the one of its position. */
  readonly planned: readonly Delta[]
  /** At their end it stops, and is opened again for what lies behind. False: it goes on to fresh ticks. */
  readonly stops: boolean
  /** How it treats them; undefined: as deployed. */
  readonly before: Treatment | undefined
}

/** The barriers that a lane has not passed, lowest generation first. */
export function barriersAhead(standing: Standing, barriers: readonly Barrier[]): readonly Barrier[] {
  const here = generationAt(standing, barriers)
  return barriers.filter(({ generation }) => generation > here)
}

/** Under which configuration a lane reads on from there. One that has drained up to a barrier has passed it. */
function generationAt({ delta, after }: Standing, barriers: readonly Barrier[]): number {
  const drained = after >= delta.to.ceiling
  let here = delta.generation
  for (const { generation, tick } of barriers)
    if (generation > here && drained && tick.snapshot === delta.to.snapshot) here = generation
    else if (generation > here) break
  return here
}

/** `planned`: what was planned for the lane. `barriers`: of its destination, lowest generation first. */
export function nextStretch(standing: Standing, planned: readonly Delta[], barriers: readonly Barrier[]): Stretch {
  const { delta, after } = standing
  const here = generationAt(standing, barriers)
  const current = Math.max(here, (after >= delta.to.ceiling ? planned[0]?.generation : undefined) ?? here)
  const next = barriers.find(({ generation }) => generation > current)
  if (!next) return { planned, stops: false, before: undefined }
  const end = planned.findIndex(({ generation }) => generation >= next.generation)
  if (end >= 0) return { planned: planned.slice(0, end), stops: true, before: next.before }
  const last = planned.at(-1) ?? delta
  const there = last.to.snapshot === next.tick.snapshot
  return {
    planned: there ? planned : [...planned, followingDelta(last, next.tick, Math.max(current, last.generation))],
    stops: true,
    before: next.before,
  }
}

/** The deltas from where a lane stands, drained, up to `tick`: one up to each barrier on the way, and the last to the tick. */
export function deltasUpTo(
  standing: Standing,
  barriers: readonly Barrier[],
  tick: Tick & { readonly generation: number },
): Delta[] {
  const deltas: Delta[] = []
  let last = { ...standing.delta, generation: generationAt(standing, barriers) }
  for (const barrier of barriersAhead(standing, barriers)) {
    if (last.to.snapshot !== barrier.tick.snapshot) deltas.push((last = followingDelta(last, barrier.tick)))
    last = { ...last, generation: barrier.generation }
  }
  deltas.push(followingDelta(last, tick, tick.generation))
  return deltas
}
