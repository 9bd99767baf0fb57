import type { SeenLane } from '../outbox/dispatcher-store.js'

/**
 * Fair share of lanes: everybody holds the same number, but for one. Pure; every dispatcher computes it alone from what
 * its heartbeat saw.
 */
export interface ShareView {
  readonly lanes: readonly SeenLane[]
  /** Ids of live dispatchers of the deployed generation. One that is not among them takes nothing, and gives all back. */
  readonly dispatchers: readonly string[]
  readonly me: string
  /** Whether the holder of a lane is alive. */
  readonly isAlive: (dispatcher: string) => boolean
  /**
   * Whether a dispatcher is so new that it can't know yet who is gone. It has no share of lanes whose holder is: it would
   * watch that one for a whole lease of its own, while everybody else leaves them to it. Default: nobody is.
   */
  readonly isNew?: (dispatcher: string) => boolean
  /** Whether this dispatcher is at work on a lane. One that is written down as ours and is not is free for us. */
  readonly serves: (lane: SeenLane) => boolean
  /** Lanes this dispatcher can serve: its configuration knows them. */
  readonly canServe: (lane: SeenLane) => boolean
  /** Lanes that count and are to be taken by nobody for now. */
  readonly rests?: (lane: SeenLane) => boolean
}

export interface SharePlan {
  /** Free, or held by one that is gone. */
  readonly take: readonly SeenLane[]
  /** Ours, beyond our share, while another has fewer. */
  readonly giveBack: readonly SeenLane[]
  /**
   * Written down as ours, not at work on, and no room for: a failover put an older row back, or a release went wrong. As
   * long as we live nobody else takes them.
   */
  readonly release: readonly SeenLane[]
}

export function planShare(view: ShareView): SharePlan {
  const { lanes, me, isAlive, serves, canServe, rests } = view
  const servable = lanes.filter(canServe)
  const mine = servable.filter(serves)
  const ranked = [...sharersOf(view, servable)].sort()
  const rank = ranked.indexOf(me)
  const count = Math.max(1, ranked.length)
  const least = Math.floor(servable.length / count)
  const shareOf = (place: number): number => least + (place >= 0 && place < servable.length % count ? 1 : 0)
  const share = view.dispatchers.includes(me) ? shareOf(rank) : 0
  const free = servable.filter(
    (lane) =>
      !serves(lane) &&
      !rests?.(lane) &&
      (lane.holder === null || lane.dispatcher === null || lane.dispatcher === me || !isAlive(lane.dispatcher)),
  )
  const room = rank < 0 ? 0 : Math.max(0, share - mine.length)
  // those before us begin with the first: whoever wants the same lane and is late has to wait for the next heartbeat
  const held = (id: string): number => servable.filter(({ dispatcher }) => dispatcher === id).length
  const before = ranked.slice(0, Math.max(0, rank)).reduce((sum, id, i) => sum + Math.max(0, shareOf(i) - held(id)), 0)
  const first = free.length === 0 ? 0 : before % free.length
  const take = [...free.slice(first), ...free.slice(0, first)].slice(0, room)
  const forgotten = lanes.filter((lane) => lane.dispatcher === me && lane.holder !== null && !serves(lane))
  const release = forgotten.filter((lane) => !take.includes(lane))
  return { take, giveBack: mine.slice(share), release }
}

function sharersOf({ dispatchers, isAlive, isNew }: ShareView, servable: readonly SeenLane[]): readonly string[] {
  if (!isNew || !servable.some(({ holder, dispatcher }) => holder && dispatcher && !isAlive(dispatcher)))
    return dispatchers
  const known = dispatchers.filter((id) => !isNew(id))
  return known.length > 0 ? known : dispatchers
}
