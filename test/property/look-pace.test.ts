import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LookPace } from '../../src/dispatcher/look-pace.js'
import { defaultTickerSettings } from '../../src/dispatcher/ticker.js'

const { busyMs } = defaultTickerSettings
const duration = (min: number, max: number): fc.Arbitrary<number> => fc.double({ min, max, noNaN: true })
const looks = (min: number, max: number, count: number): fc.Arbitrary<number[]> =>
  fc.array(duration(min, max), { minLength: count, maxLength: count })

/** The last wait of a pace that saw these. */
function waitAfter(took: readonly number[]): number {
  const pace = new LookPace(busyMs)
  return took.map((each) => pace.waitAfter(each)).at(-1) as number
}

describe('the pace of looks at a moving log', () => {
  it('is what the settings say while looks take about as long as each other, however far the database is', () => {
    fc.assert(
      fc.property(duration(0.1, 100), fc.array(duration(1, 1.9), { minLength: 1 }), (quickest, ratios) => {
        expect(waitAfter(ratios.map((ratio) => ratio * quickest))).toBe(busyMs)
      }),
    )
  })

  it('is slower the more they scatter, and never more than 40 ms', () => {
    fc.assert(
      fc.property(duration(1, 100), duration(1, 100), looks(1, 2, 56), (one, other, rest) => {
        const [little, much] = [Math.min(one, other), Math.max(one, other)].map((slow) =>
          waitAfter([...rest, ...Array<number>(8).fill(slow * 2)]),
        )
        expect(little).toBeGreaterThanOrEqual(busyMs)
        expect(little).toBeLessThanOrEqual(much as number)
        expect(much).toBeLessThanOrEqual(40)
      }),
    )
    expect(waitAfter([...Array<number>(32).fill(1), ...Array<number>(32).fill(3)])).toBe(40)
  })

  it('depends on no unit: twice as slow is as slow', () => {
    fc.assert(
      fc.property(fc.array(duration(0.1, 100), { minLength: 1, maxLength: 100 }), (took) => {
        expect(waitAfter(took.map((each) => each * 8))).toBeCloseTo(waitAfter(took))
      }),
    )
  })

  it('is not changed by a few that take however long, nor by the first ones', () => {
    fc.assert(
      fc.property(looks(1, 1.9, 58), looks(1, 10_000, 6), looks(0.1, 10_000, 9), (quick, slow, first) => {
        expect(waitAfter([...quick, ...slow])).toBe(busyMs)
        expect(waitAfter(first)).toBe(busyMs)
      }),
    )
  })

  it('forgets what was 64 looks ago', () => {
    fc.assert(
      fc.property(fc.array(duration(0.1, 10_000)), looks(1, 1.9, 64), (before, now) => {
        expect(waitAfter([...before, ...now])).toBe(busyMs)
      }),
    )
  })
})
