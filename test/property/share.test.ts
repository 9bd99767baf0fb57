import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type SharePlan, planShare } from '../../src/dispatcher/share.js'
import type { SeenLane } from '../../src/outbox/dispatcher-store.js'

interface World {
  readonly lanes: SeenLane[]
  readonly alive: string[]
  /** Ids of lanes that are written down as somebody's who is not at work on them: a failover put an older row back. */
  readonly forgotten: Set<number>
}

const name = (i: number): string => `dispatcher-${i}`

/** Lanes held by live dispatchers, by dead ones, or by nobody. */
const worlds: fc.Arbitrary<World> = fc
  .tuple(
    fc.integer({ min: 1, max: 6 }),
    fc.array(fc.option(fc.integer({ min: 0, max: 9 })), { maxLength: 24, size: 'max' }),
    fc.array(fc.nat({ max: 23 })),
  )
  .map(([alive, holders, forgotten]) => ({
    alive: Array.from({ length: alive }, (_, i) => name(i)),
    forgotten: new Set(forgotten),
    lanes: holders.map((holder, id) => laneHeldBy(id, holder === null ? null : name(holder))),
  }))

function laneHeldBy(id: number, dispatcher: string | null): SeenLane {
  const holder = dispatcher === null ? null : `holder-of-${dispatcher}`
  const identity = { id, destination: 'd', shard: id, shards: 24, epoch: 1 }
  return { ...identity, holder, dispatcher, state: 'active', commands: 0 }
}

const serves = (world: World, me: string, lane: SeenLane): boolean =>
  lane.dispatcher === me && !world.forgotten.has(lane.id)

function plan(world: World, me: string, isNew: (id: string) => boolean = () => false): SharePlan {
  return planShare({
    lanes: world.lanes,
    dispatchers: world.alive,
    me,
    isAlive: (id) => world.alive.includes(id),
    isNew,
    serves: (lane) => serves(world, me, lane),
    canServe: () => true,
  })
}

/** One heartbeat of `me`: plans, gives back, takes. True when anything changed. */
function beat(world: World, me: string, isNew?: (id: string) => boolean): boolean {
  const { take, giveBack, release } = plan(world, me, isNew)
  for (const lane of take) {
    const seen = world.lanes[lane.id]?.dispatcher
    expect(seen && seen !== me && world.alive.includes(seen), 'takes from a live one').toBeFalsy()
    world.lanes[lane.id] = laneHeldBy(lane.id, me)
    world.forgotten.delete(lane.id)
  }
  for (const lane of [...giveBack, ...release]) {
    expect(lane.dispatcher).toBe(me)
    world.lanes[lane.id] = laneHeldBy(lane.id, null)
    world.forgotten.delete(lane.id)
  }
  return take.length + giveBack.length + release.length > 0
}

/** How many lanes each is at work on. */
const held = (world: World): number[] =>
  world.alive.map((id) => world.lanes.filter((lane) => serves(world, id, lane)).length)

describe('sharing lanes', () => {
  it('ends with every lane held, nobody above the share, and then nothing moves', () => {
    fc.assert(
      fc.property(worlds, fc.infiniteStream(fc.nat()), (world, turns) => {
        // heartbeats come in any order; after a few of each it must have settled
        for (let i = 0; i < world.alive.length * 3; i++)
          beat(world, name((turns.next().value as number) % world.alive.length))
        for (let round = 0; round < 3; round++) for (const id of world.alive) beat(world, id)
        const counts = held(world)
        expect(counts.reduce((a, b) => a + b, 0)).toBe(world.lanes.length)
        expect(Math.max(...counts)).toBeLessThanOrEqual(Math.ceil(world.lanes.length / world.alive.length))
        expect(Math.min(...counts)).toBeGreaterThanOrEqual(Math.floor(world.lanes.length / world.alive.length))
        for (const id of world.alive) expect(beat(world, id), 'it is stable').toBe(false)
      }),
    )
  })

  it('never lets two take one lane from what both saw, but for the fence of the lane itself', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        for (const me of world.alive) {
          const { take, giveBack } = plan(world, me)
          const mine = world.lanes.filter((lane) => serves(world, me, lane)).length
          const share = Math.ceil(world.lanes.length / world.alive.length)
          expect(mine + take.length - giveBack.length).toBeLessThanOrEqual(share)
          expect(take.length === 0 || giveBack.length === 0, 'takes and gives at once').toBe(true)
        }
      }),
    )
  })

  it('hands the lanes of one that is gone to those who know that it is, and to newcomers afterwards', () => {
    fc.assert(
      fc.property(worlds, fc.integer({ min: 1, max: 3 }), (world, newcomers) => {
        const old = world.alive
        const fresh = Array.from({ length: newcomers }, (_, i) => `a-newcomer-${i}`) // ranks before the others
        const view = { ...world, alive: [...old, ...fresh] }
        const isNew = (id: string): boolean => fresh.includes(id)
        for (const id of old) beat(view, id, isNew)
        const orphans = view.lanes.filter(({ dispatcher }) => dispatcher && !view.alive.includes(dispatcher))
        expect(orphans).toEqual([])
        for (let round = 0; round < 3; round++) for (const id of view.alive) beat(view, id, isNew)
        const counts = held(view)
        expect(counts.reduce((a, b) => a + b, 0)).toBe(view.lanes.length)
        expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('lets two want the same lane only where there is no other', () => {
    fc.assert(
      fc.property(worlds, (world) => {
        const view = { ...world, forgotten: new Set<number>() }
        const wanted = view.alive.flatMap((me) => plan(view, me).take.map((lane) => lane.id))
        const free = view.lanes.filter(({ dispatcher }) => !dispatcher || !view.alive.includes(dispatcher)).length
        expect(new Set(wanted).size).toBe(Math.min(wanted.length, free))
      }),
    )
  })

  it('leaves alone what its configuration does not know, and takes up again what is written down as its own', () => {
    const lanes = [laneHeldBy(0, null), laneHeldBy(1, null), laneHeldBy(2, 'me')]
    const view = { lanes, dispatchers: ['me'], me: 'me', isAlive: () => true, serves: () => false }
    const { take, giveBack } = planShare({ ...view, canServe: (lane) => lane.id !== 1 })
    expect(take.map((lane) => lane.id)).toEqual([0, 2])
    expect(giveBack).toEqual([])
  })

  it('gives free what is written down as its own, is not at work on and has no room for', () => {
    const lanes = [laneHeldBy(0, 'me'), laneHeldBy(1, 'me'), laneHeldBy(2, 'me'), laneHeldBy(3, 'other')]
    const view = { lanes, dispatchers: ['me', 'other'], me: 'me', isAlive: () => true, canServe: () => true }
    const { take, giveBack, release } = planShare({ ...view, serves: (lane) => lane.id === 0 })
    expect([take, giveBack, release].map((list) => list.map((lane) => lane.id))).toEqual([[1], [], [2]])
  })
})
