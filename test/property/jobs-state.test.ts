import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  finalJobStates,
  isFinalJobState,
  jobStates,
  nextStanding,
  type JobEvent,
  type JobStanding,
} from '../../src/jobs/job-state.js'

const events: readonly JobEvent[] = [
  'claim',
  'start',
  'complete',
  'retry',
  'snooze',
  'cancel',
  'discard',
  'release',
  'unclaim',
  'takeBack',
  'operatorRetry',
  'operatorCancel',
]
const byHand: readonly JobEvent[] = ['operatorRetry', 'operatorCancel']

const fresh = fc.record({
  state: fc.constantFrom('scheduled' as const, 'available' as const),
  maxAttempts: fc.integer({ min: 1, max: 4 }),
})
const path = fc.array(fc.constantFrom(...events), { maxLength: 60 })

/** Every standing on the way, with the event that led to it; events that don't apply are left out. */
function walk(
  start: Pick<JobStanding, 'state' | 'maxAttempts'>,
  along: readonly JobEvent[],
): { event?: JobEvent; job: JobStanding }[] {
  const way: { event?: JobEvent; job: JobStanding }[] = [{ job: { ...start, claimed: false, attempt: 0, lost: 0 } }]
  let [{ job }] = way as [{ job: JobStanding }]
  for (const event of along) {
    const next = nextStanding(job, event)
    if (next !== undefined) way.push({ event, job: (job = next) })
  }
  return way
}

describe('the states of a job', () => {
  it('are consistent on every path: held only while available or executing, attempts within bounds', () => {
    fc.assert(
      fc.property(fresh, path, (start, along) => {
        for (const { job } of walk(start, along)) {
          expect(jobStates).toContain(job.state)
          if (job.claimed) expect(['available', 'executing']).toContain(job.state)
          if (job.state === 'executing') expect(job.claimed).toBe(true)
          expect(job.attempt).toBeGreaterThanOrEqual(job.state === 'executing' ? 1 : 0)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('that are final stay so but for an operator', () => {
    fc.assert(
      fc.property(fresh, path, (start, along) => {
        let before: JobStanding | undefined
        for (const { event, job } of walk(start, along)) {
          if (before && isFinalJobState(before.state)) expect(event).toBe('operatorRetry')
          before = job
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('lose no job: from each that is not final a worker can complete it', () => {
    fc.assert(
      fc.property(fresh, path, (start, along) => {
        const { job } = walk(start, along).at(-1) as { job: JobStanding }
        if (isFinalJobState(job.state)) return
        const rest: JobEvent[] =
          job.state === 'executing'
            ? ['complete']
            : job.claimed
              ? ['start', 'complete']
              : ['claim', 'start', 'complete']
        const end = rest.reduce<JobStanding | undefined>((at, event) => at && nextStanding(at, event), job)
        expect(end?.state).toBe('completed')
      }),
      { numRuns: 1_000 },
    )
  })

  it('charge an attempt for each start that was neither snoozed nor released, and no start exceeds the attempts allowed', () => {
    fc.assert(
      fc.property(fresh, path, (start, along) => {
        let charged = 0
        for (const { event, job } of walk(start, along)) {
          if (event === 'start') charged += 1
          if (event === 'snooze' || event === 'release') charged -= 1
          if (event === 'operatorRetry') charged = 0
          expect(job.attempt).toBe(charged)
          expect(job.attempt).toBeLessThanOrEqual(job.maxAttempts)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  it('end as completed, cancelled or discarded, and nothing else is final', () => {
    for (const state of jobStates) {
      const moves = events.filter(
        (event) =>
          !byHand.includes(event) &&
          nextStanding({ state, claimed: state === 'executing', attempt: 1, maxAttempts: 2, lost: 0 }, event) !==
            undefined,
      )
      expect(moves.length === 0).toBe((finalJobStates as readonly string[]).includes(state))
    }
  })
})
