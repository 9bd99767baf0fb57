import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LookPace } from '../../src/dispatcher/look-pace.js'
import { defaultTickerSettings } from '../../src/dispatcher/ticker.js'

const { busyMs } = defaultTickerSettings
const duration = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true })

/** The last wait of a pace that saw these. */
function waitAfter(looks: readonly number[]): number {
  const pace = new LookPace(busyMs)
  return looks.map((took) => pace.waitAfter(took)).at(-1) as number
}

describe('the pace of looks at a moving log', () => {
  it('is what the settings say while looks are quick', () => {
    fc.assert(
      fc.property(fc.array(duration(0, 0.45), { minLength: 1 }), (looks) => {
        expect(waitAfter(looks)).toBe(busyMs)
      }),
    )
  })

  it('is slower the longer they take, and never more than 40 ms', () => {
    fc.assert(
      fc.property(duration(0, 10_000), duration(0, 10_000), (one, other) => {
        const [quick, slow] = [Math.min(one, other), Math.max(one, other)].map((took) => waitAfter(Array(5).fill(took)))
        expect(quick).toBeGreaterThanOrEqual(busyMs)
        expect(quick).toBeLessThanOrEqual(slow as number)
        expect(slow).toBeLessThanOrEqual(40)
      }),
    )
    expect(waitAfter(Array(5).fill(0.9))).toBeCloseTo(4 * busyMs)
    expect(waitAfter(Array(5).fill(3))).toBe(40)
  })

  it('is not changed by one or two among five that took long, and forgets those before', () => {
    fc.assert(
      fc.property(
        fc.array(duration(0, 10_000), { maxLength: 20 }),
        duration(1, 10_000),
        duration(1, 10_000),
        (before, a, b) => {
          expect(waitAfter([...before, 0.2, a, 0.3, b, 0.2])).toBe(busyMs)
          expect(waitAfter([...before, 3, 0.2, 3, 0.2, 3])).toBe(40)
        },
      ),
    )
  })
})
