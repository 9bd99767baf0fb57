import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Case, World, aCase, anOutage } from './culprit-world.js'

describe('the search for what stops a lane', () => {
  it('lets every good message through, in order, within the probes that are promised, whatever the bad ones are', () => {
    fc.assert(
      fc.property(aCase, (given: Case) => {
        const world = new World(given)
        world.run()
        expect(world.missing(), 'good messages that could be sent and were not').toEqual([])
        expect(world.overtaken).toEqual([])
        expect(world.probes, `${world.bad} bad, ${world.suspectsWhenUp} suspects`).toBeLessThanOrEqual(world.promised)
        expect(world.failuresOfBad, 'sends of bad messages').toBeLessThanOrEqual(world.promisedFailures)
      }),
      { numRuns: 400 },
    )
  })

  it('lets every good message through, in order, though outages come and go among the bad ones', () => {
    fc.assert(
      fc.property(aCase, fc.array(anOutage, { minLength: 1, maxLength: 4 }), (given, outages) => {
        const world = new World({ ...given, outages })
        world.run()
        expect(world.missing()).toEqual([])
        expect(world.overtaken).toEqual([])
      }),
      { numRuns: 300 },
    )
  })

  it('charges nothing in an outage, sends one probe at a time, and delivers everything after it', () => {
    fc.assert(
      fc.property(aCase, anOutage, (given, outage) => {
        const world = new World({ ...given, bad: [], outages: [outage] })
        world.run()
        expect(world.missing()).toEqual([])
        expect(world.charged).toEqual([])
        expect(world.overtaken).toEqual([])
        expect(world.mostProbes).toBeLessThanOrEqual(1)
      }),
      { numRuns: 200 },
    )
  })

  it('is not fooled by a destination that flaps: few are charged, none is given up, all of them arrive', () => {
    fc.assert(
      fc.property(aCase, fc.array(anOutage, { minLength: 2, maxLength: 6 }), (given, outages) => {
        const world = new World({ ...given, bad: [], outages })
        world.run()
        expect(world.missing()).toEqual([])
        expect(world.overtaken).toEqual([])
        // at most as many as may wait for a verdict at once, for each time it came back
        expect(world.charged.length).toBeLessThanOrEqual(4 * (outages.length - 1))
        for (const times of world.chargedTimes()) expect(times).toBeLessThanOrEqual(outages.length - 1)
      }),
      { numRuns: 200 },
    )
  })

  it('waits as long as it was asked to, once for each answer that asks, and no longer than that or the cap', () => {
    fc.assert(
      fc.property(aCase, anOutage, (given, outage) => {
        const world = new World({ ...given, bad: [], outages: [{ ...outage, kind: 'throttled' }] })
        world.run()
        for (const { asked, waited } of world.waits) {
          expect(waited).toBeGreaterThanOrEqual(asked)
          expect(waited).toBeLessThanOrEqual(Math.max(asked, World.capMs) + 1)
        }
      }),
      { numRuns: 100 },
    )
  })
})
