import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Outage, type PauseKind, type Probe } from '../../src/dispatcher/outage.js'

const backoff = { baseMs: 20, capMs: 500 }
const kinds = fc.constantFrom<PauseKind>('outage', 'throttled', 'misconfigured')

/** What the world does next: whether another message is there to probe with, and how the probe ends. */
interface Step {
  readonly otherAvailable: boolean
  readonly delivered: boolean
  readonly kind: PauseKind
  readonly retryAfterMs: number | undefined
  /** One that was under way when the pause began gets through before the probe. */
  readonly late: boolean
}

const step: fc.Arbitrary<Step> = fc.record({
  otherAvailable: fc.boolean(),
  delivered: fc.boolean(),
  kind: kinds,
  retryAfterMs: fc.option(fc.integer({ min: 0, max: 5000 }), { nil: undefined }),
  late: fc.boolean(),
})

describe('an outage', () => {
  it('convicts only a suspect that failed after another message got through, and none failed since', () => {
    fc.assert(
      fc.property(kinds, fc.array(step, { maxLength: 60, size: 'max' }), (kind, steps) => {
        const outage = new Outage(kind, 0, undefined, { backoff })
        let othersGetThrough = false
        let now = 0
        for (const { otherAvailable, delivered, kind: answer, retryAfterMs, late } of steps) {
          if (late) {
            outage.otherGotThrough()
            othersGetThrough = true
          }
          now = Math.max(now, outage.nextProbeAt)
          const probe = outage.choose(otherAvailable)
          if (probe === 'other') expect(otherAvailable).toBe(true)
          const verdict = delivered ? outage.delivered(probe, now) : outage.failed(probe, answer, now, retryAfterMs)
          if (verdict === 'convict') {
            expect({ probe, delivered, othersGetThrough }).toEqual({
              probe: 'suspect',
              delivered: false,
              othersGetThrough: true,
            })
            return
          }
          expect(verdict === 'resume').toBe(probe === 'suspect' && delivered)
          if (verdict === 'resume') return
          if (probe === 'other') othersGetThrough = delivered
        }
      }),
    )
  })

  it.each([
    ['outage', 2],
    ['misconfigured', 2],
    ['throttled', 10],
  ] as const)('finds a message that alone looks like %s within %i probes', (kind, most) => {
    fc.assert(
      // until another message comes only the suspect can be asked
      fc.property(fc.integer({ min: 0, max: 20 }), (alone) => {
        const outage = new Outage(kind, 0, undefined, { backoff })
        for (let i = 0; i < alone; i++) {
          expect(outage.choose(false)).toBe('suspect')
          expect(outage.failed('suspect', kind, outage.nextProbeAt)).toBe('wait')
        }
        for (let probes = 1; probes <= most; probes++) {
          const probe = outage.choose(true)
          const now = outage.nextProbeAt
          if (probe === 'other') expect(outage.delivered(probe, now)).toBe('wait')
          else if (outage.failed(probe, kind, now) === 'convict') return
        }
        expect.unreachable(`not found within ${most} probes`)
      }),
    )
  })

  it('convicts nobody while the destination is down, and asks the suspect and others in turn', () => {
    fc.assert(
      fc.property(kinds, kinds, fc.boolean(), (kind, then, otherAvailable) => {
        const outage = new Outage(kind, 0, undefined, { backoff })
        const asked: Probe[] = []
        for (let i = 0; i < 200; i++) {
          const probe = outage.choose(otherAvailable)
          asked.push(probe)
          expect(outage.failed(probe, then, outage.nextProbeAt)).toBe('wait')
        }
        expect(outage.kind).toBe(then)
        const turns = new Set(asked.slice(0, 2))
        expect(turns).toEqual(new Set(otherAvailable ? ['other', 'suspect'] : ['suspect']))
        expect(outage.delivered('suspect', outage.nextProbeAt)).toBe('resume')
      }),
    )
  })

  it('waits at least as long as it was asked to, and no longer than that or the cap of its backoff', () => {
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 80, size: 'max' }),
        fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        (steps, drawn) => {
          let now = 1000
          const bounds = (outage: Outage, asked = 0): void => {
            expect(outage.nextProbeAt).toBeGreaterThanOrEqual(now + Math.max(1, asked))
            expect(outage.nextProbeAt).toBeLessThanOrEqual(now + Math.max(asked, backoff.capMs))
          }
          const outage = new Outage('outage', now, steps[0]?.retryAfterMs, { backoff, random: () => drawn })
          bounds(outage, steps[0]?.retryAfterMs)
          for (const { otherAvailable, retryAfterMs } of steps) {
            now = outage.nextProbeAt
            outage.failed(outage.choose(otherAvailable), 'outage', now, retryAfterMs)
            bounds(outage, retryAfterMs)
          }
        },
      ),
    )
  })
})
