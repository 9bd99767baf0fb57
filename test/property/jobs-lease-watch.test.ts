import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LeaseWatch } from '../../src/jobs/lease-watch.js'

describe('the watch over leases', () => {
  it('ends a worker after a whole lease of stillness, and within a lease and an interval', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 500, max: 60_000 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (leaseMs, share) => {
          const interval = leaseMs / 3
          const watch = new LeaseWatch(leaseMs / 2)
          const diedAt = share * interval
          let beat = 0
          for (let at = 0; ; at += interval) {
            if (at <= diedAt) beat += 1
            const ended = watch.observe([{ id: 'w', beat, leaseMs }], at)
            if (ended.length > 0) {
              expect(at - diedAt).toBeGreaterThanOrEqual(leaseMs - interval)
              expect(at - diedAt).toBeLessThanOrEqual(2 * leaseMs)
              return
            }
            expect(at - diedAt).toBeLessThan(2 * leaseMs)
          }
        },
      ),
    )
  })

  it('never ends a worker whose beat moves at least once in a lease', () => {
    // looks up to 900 ms apart and a beat every 999 ms at most: what is seen never stands still for 2,000 ms
    const gaps = fc.array(fc.integer({ min: 1, max: 900 }), { minLength: 1, maxLength: 200 })
    fc.assert(
      fc.property(gaps, fc.integer({ min: 1, max: 999 }), (steps, everyMs) => {
        const watch = new LeaseWatch(1_000)
        let at = 0
        for (const step of steps) {
          at += step
          expect(watch.observe([{ id: 'w', beat: Math.floor(at / everyMs), leaseMs: 2_000 }], at)).toEqual([])
        }
      }),
    )
  })

  it('counts little of the time in which it was cut off or frozen itself', () => {
    const watch = new LeaseWatch(1_000)
    const worker = { id: 'w', beat: 1, leaseMs: 1_500 }
    expect(watch.observe([worker], 0)).toEqual([])
    expect(watch.observe([worker], 60_000)).toEqual([])
    expect(watch.observe([{ ...worker, beat: 2 }], 60_100)).toEqual([])
    expect(watch.observe([{ ...worker, beat: 2 }], 120_000)).toEqual([])
    expect(watch.observe([{ ...worker, beat: 2 }], 120_500)).toEqual([{ ...worker, beat: 2 }])
  })
})
