import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { retryAfterMs } from '../../src/adapters/webhook/retry-after.js'
import { TokenBucket } from '../../src/adapters/webhook/token-bucket.js'

describe('retryAfterMs', () => {
  const now = Date.parse('2026-01-01T00:00:00Z')

  test.each<[string | string[] | undefined, number | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['0', 0],
    [' 12 ', 12_000],
    ['99999999999999999999999', 3_600_000],
    ['Thu, 01 Jan 2026 00:00:30 GMT', 30_000],
    ['Thursday, 01-Jan-26 00:00:30 GMT', 30_000],
    ['Thu Jan  1 00:00:30 2026 GMT', 30_000],
    ['Wed, 31 Dec 2025 23:00:00 GMT', 0],
    ['Fri, 01 Jan 2100 00:00:00 GMT', 3_600_000],
    ['1.5', undefined],
    ['-3', undefined],
    ['soon', undefined],
    ['Thu, 99 Foo 2026', undefined],
    [['5', '6'], 5000],
  ])('%j → %s', (value, expected) => {
    expect(retryAfterMs(value, now, 3_600_000)).toBe(expected)
  })

  test('is always within its bounds', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.nat().map(String),
          fc.date({ noInvalidDate: true }).map((d) => d.toUTCString()),
        ),
        (value) => {
          const wait = retryAfterMs(value, now, 1000)
          if (wait === undefined) return
          expect(wait).toBeGreaterThanOrEqual(0)
          expect(wait).toBeLessThanOrEqual(1000)
        },
      ),
    )
  })
})

describe('TokenBucket', () => {
  /** How many pass within `ms`, asked whenever the bucket said to ask again. */
  function passed(bucket: TokenBucket, ms: number): number {
    let count = 0
    for (let now = 0; now <= ms;) {
      const wait = bucket.take(now)
      if (wait === 0) count += 1
      now += wait
    }
    return count
  }

  test('lets through what the rate says, in any window, and the burst once', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 150 }), fc.integer({ min: 1, max: 20 }), (perSecond, burst) => {
        const count = passed(new TokenBucket(perSecond, burst, 0), 10_000)
        expect(count).toBeLessThanOrEqual(perSecond * 10 + burst)
        // waits are whole milliseconds, rounded up
        expect(count).toBeGreaterThanOrEqual((10_000 / (Math.ceil(1000 / perSecond) + 1)) * 0.99)
      }),
    )
  })

  test('says how long to wait, and takes nothing while there is nothing', () => {
    const bucket = new TokenBucket(10, 1, 0)
    expect([bucket.take(0), bucket.take(0), bucket.take(40), bucket.take(100), bucket.take(100)]).toEqual([
      0, 100, 60, 0, 100,
    ])
  })

  test('reaches high rates although timers are coarse', () => {
    const bucket = new TokenBucket(5000, 1, 0)
    let count = 0
    for (let now = 0; now < 1000; now += 2) while (bucket.take(now) === 0) count += 1
    expect(count).toBeGreaterThan(4900)
  })
})
