import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { defaultTickerSettings, waitAfterLook } from '../../src/dispatcher/ticker.js'

const { busyMs } = defaultTickerSettings

describe('the pace of looks at a moving log', () => {
  it('is what the settings say while looks are quick, and takes a tenth of the time at most until they are 25 ms apart', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 10_000, noNaN: true }), (took) => {
        const wait = waitAfterLook(took, busyMs)
        expect(wait).toBeGreaterThanOrEqual(busyMs)
        expect(wait).toBeLessThanOrEqual(25)
        if (wait < 25) expect(took / (took + wait)).toBeLessThanOrEqual(0.1 + 1e-9)
        if (took <= 0.4) expect(wait).toBe(busyMs)
      }),
    )
  })
})
