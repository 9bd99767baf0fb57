import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffCeiling, backoffDelay } from '../../src/core/backoff.js'

const settings = fc
  .record({ baseMs: fc.integer({ min: 1, max: 60_000 }), capMs: fc.integer({ min: 1, max: 86_400_000 }) })
  .filter(({ baseMs, capMs }) => baseMs <= capMs)
const attempts = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 2 ** 31 - 1 }))
const drawn = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })

describe('backoff', () => {
  it('doubles from its base up to its cap, however many attempts there were', () => {
    fc.assert(
      fc.property(settings, attempts, (s, attempt) => {
        const ceiling = backoffCeiling(attempt, s)
        expect(Number.isFinite(ceiling)).toBe(true)
        expect(ceiling).toBeGreaterThanOrEqual(s.baseMs)
        expect(ceiling).toBeLessThanOrEqual(s.capMs)
        expect(backoffCeiling(attempt + 1, s)).toBe(Math.min(s.capMs, ceiling * 2))
      }),
    )
    expect([1, 2, 3, 4].map((n) => backoffCeiling(n, { baseMs: 1000, capMs: 5000 }))).toEqual([1000, 2000, 4000, 5000])
  })

  it('draws a whole number of milliseconds from the whole range up to the ceiling, never zero', () => {
    fc.assert(
      fc.property(settings, attempts, drawn, (s, attempt, random) => {
        const delay = backoffDelay(attempt, s, () => random)
        expect(Number.isInteger(delay)).toBe(true)
        expect(delay).toBeGreaterThanOrEqual(1)
        expect(delay).toBeLessThanOrEqual(backoffCeiling(attempt, s))
      }),
    )
    const s = { baseMs: 1000, capMs: 60_000 }
    expect([0, 0.25, 0.999_999].map((r) => backoffDelay(3, s, () => r))).toEqual([1, 1000, 4000])
  })
})
