import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Clock } from '../../src/core/clock.js'
import { Lease, LivenessWatch } from '../../src/dispatcher/lease.js'

const hour = 3_600_000
const leaseMs = 15_000

/** Time as a test wants it: the monotonic clock runs, the wall clock runs and steps. */
class TestClock implements Clock {
  #monotonic = 1_000_000
  #wall = 1_700_000_000_000

  monotonic(): number {
    return this.#monotonic
  }

  now(): number {
    return this.#wall
  }

  sleep(): Promise<void> {
    return Promise.resolve()
  }

  pass(ms: number): void {
    this.#monotonic += ms
    this.#wall += ms
  }

  /** Somebody sets the time, or NTP does. */
  step(ms: number): void {
    this.#wall += ms
  }

  /** The machine sleeps with its monotonic clock. */
  suspend(ms: number): void {
    this.#wall += ms
  }
}

type Event = { readonly pass: number } | { readonly step: number } | { readonly renewIn: number }

const event: fc.Arbitrary<Event> = fc.oneof(
  fc.record({ pass: fc.integer({ min: 1, max: 20_000 }) }),
  fc.record({ step: fc.constantFrom(-hour, -1000, 1000, hour) }),
  fc.record({ renewIn: fc.integer({ min: 1, max: 20_000 }) }),
)

describe('a lease', () => {
  it('is never valid for longer than three quarters of it by the monotonic clock, counted from before the renewal', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 40, size: 'max' }), (events) => {
        const clock = new TestClock()
        const lease = new Lease(clock, leaseMs)
        expect(lease.valid()).toBe(false)
        let sentAt = -Infinity
        let steps = 0
        for (const next of events) {
          if ('pass' in next) clock.pass(next.pass)
          else if ('step' in next) {
            clock.step(next.step)
            steps += next.step
          } else {
            const asked = clock.monotonic()
            const renewed = lease.renewing()
            clock.pass(next.renewIn)
            renewed()
            sentAt = asked
            steps = 0
          }
          const age = clock.monotonic() - sentAt
          if (lease.valid()) expect(age).toBeLessThan(leaseMs * 0.75)
          // stepped back, or not at all, costs nothing
          else if (steps <= 0) expect(age).toBeGreaterThanOrEqual(leaseMs * 0.75)
        }
      }),
    )
  })

  it('survives a wall clock set back by an hour, and asks for a renewal when it was set forward', () => {
    const clock = new TestClock()
    const lease = new Lease(clock, leaseMs)
    lease.renewing()()
    clock.step(-hour)
    expect(lease.valid()).toBe(true)
    clock.pass(leaseMs)
    expect(lease.valid()).toBe(false)
    lease.renewing()()
    clock.step(hour)
    expect(lease.valid()).toBe(false)
    lease.renewing()()
    expect(lease.valid()).toBe(true)
  })

  it('has ended when the machine slept and its monotonic clock with it', () => {
    const clock = new TestClock()
    const lease = new Lease(clock, leaseMs)
    lease.renewing()()
    clock.suspend(leaseMs)
    expect(lease.valid()).toBe(false)
  })

  it('is not renewed by a heartbeat that was never answered', () => {
    const clock = new TestClock()
    const lease = new Lease(clock, leaseMs)
    lease.renewing()()
    clock.pass(leaseMs * 0.7)
    lease.renewing()
    clock.pass(leaseMs * 0.1)
    expect(lease.valid()).toBe(false)
  })
})

describe('watching other dispatchers', () => {
  it('takes one for gone only after its beat stood still for its whole lease, however the wall clock steps', () => {
    const look = fc.record({
      pass: fc.integer({ min: 1, max: 12_000 }),
      step: fc.constantFrom(0, 0, -hour, hour),
      beats: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(look, { minLength: 1, maxLength: 40, size: 'max' }), (looks) => {
        const clock = new TestClock()
        const watch = new LivenessWatch(clock, leaseMs / 2)
        let beat = 0
        let stillMs = 0
        for (const { pass, step, beats } of looks) {
          clock.pass(pass)
          clock.step(step)
          // of a longer gap half a lease counts: the watcher was away itself
          stillMs += Math.min(pass, leaseMs / 2)
          if (beats || beat === 0) {
            beat++
            stillMs = 0
          }
          watch.observe([{ id: 'other', beat, leaseMs }])
          expect(watch.isAlive('other')).toBe(stillMs <= leaseMs)
        }
      }),
    )
  })

  it('says when the first of those who are alive will be gone, if nothing is heard of it', () => {
    const others = fc.array(fc.integer({ min: 0, max: 2 * leaseMs }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(others, fc.integer({ min: 0, max: 2 * leaseMs }), (heardAt, now) => {
        const clock = new TestClock()
        const watch = new LivenessWatch(clock, leaseMs / 2)
        const seen: { id: string; beat: number; leaseMs: number }[] = []
        const pass = (ms: number): void => {
          for (let left = ms; left > 0; left -= leaseMs / 2) {
            clock.pass(Math.min(left, leaseMs / 2))
            watch.observe(seen)
          }
        }
        for (const [i, at] of heardAt.sort((a, b) => a - b).entries()) {
          pass(at - (heardAt[i - 1] ?? 0))
          seen.push({ id: String(i), beat: 1, leaseMs })
          watch.observe(seen)
        }
        pass(now)
        const alive = (): number => seen.filter(({ id }) => watch.isAlive(id)).length
        const before = alive()
        const left = watch.untilLapse()
        expect(Number.isFinite(left)).toBe(before > 0)
        if (before === 0) return
        pass(left)
        expect(alive()).toBe(before)
        pass(1)
        expect(alive()).toBeLessThan(before)
      }),
    )
  })

  it('takes nobody for gone after an outage, a frozen process or a sleep of the machine, until they had the time to beat', () => {
    const clock = new TestClock()
    const watch = new LivenessWatch(clock, leaseMs / 2)
    const others = ['a', 'b', 'c'].map((id) => ({ id, beat: 1, leaseMs }))
    watch.observe(others)
    clock.pass(leaseMs * 0.45)
    watch.observe(others)
    clock.pass(hour)
    expect(others.map(({ id }) => watch.isAlive(id))).toEqual([true, true, true])
    watch.observe(others)
    expect(others.map(({ id }) => watch.isAlive(id))).toEqual([true, true, true])
    // those who came back beat; the third did not, and is gone when it had its time
    const back = others.map((other, i) => ({ ...other, beat: i < 2 ? 2 : 1 }))
    clock.pass(leaseMs * 0.45)
    watch.observe(back)
    expect(others.map(({ id }) => watch.isAlive(id))).toEqual([true, true, false])
  })

  it('calls one new for its first lease', () => {
    const clock = new TestClock()
    const watch = new LivenessWatch(clock, leaseMs / 2)
    expect(watch.isNew('other')).toBe(true)
    for (let beat = 0; beat <= 2; beat++) {
      watch.observe([{ id: 'other', beat, leaseMs }])
      expect(watch.isNew('other')).toBe(true)
      clock.pass(leaseMs / 2)
    }
    expect(watch.isNew('other')).toBe(false)
    watch.observe([])
    watch.observe([{ id: 'other', beat: 9, leaseMs }])
    expect(watch.isNew('other')).toBe(true)
  })

  it('knows nobody it has not seen, and forgets whoever signed off', () => {
    const clock = new TestClock()
    const watch = new LivenessWatch(clock, leaseMs / 2)
    expect(watch.isAlive('other')).toBe(false)
    watch.observe([{ id: 'other', beat: 7, leaseMs }])
    expect(watch.isAlive('other')).toBe(true)
    watch.observe([])
    expect(watch.isAlive('other')).toBe(false)
    // a dispatcher that comes back is watched for a whole lease before it is taken for gone again
    clock.pass(hour)
    watch.observe([{ id: 'other', beat: 7, leaseMs }])
    expect(watch.isAlive('other')).toBe(true)
  })
})
