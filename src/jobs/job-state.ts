/**
 * The life of a job, as pure functions: what the SQL functions in `prisma/migrations/…_jobs` do, in one place to read and
 * to test. A job is lost by no path: from every state that is not final there is a way on.
 */

export const jobStates = [
  /** Runs at `run_at`, which may be past when no worker has claimed it yet. */
  'scheduled',
  /** May be claimed, or is claimed and has not started. */
  'available',
  /** A handler has it; an attempt is charged. */
  'executing',
  /** Failed; runs again at `run_at`. */
  'retryable',
  'completed',
  'cancelled',
  /** Failed for the last time, or its handler said that no retry helps. Kept until an operator acts. */
  'discarded',
] as const

export type JobState = (typeof jobStates)[number]

export const finalJobStates = ['completed', 'cancelled', 'discarded'] as const satisfies readonly JobState[]

export function isFinalJobState(state: JobState): boolean {
  return (finalJobStates as readonly JobState[]).includes(state)
}

/** What a worker answers for a job that it ran. */
export type AckOutcome = 'complete' | 'retry' | 'snooze' | 'cancel' | 'discard' | 'release'

export type JobEvent =
  /** A fetch took it. Nothing is charged. */
  | 'claim'
  /** Its handler begins: charged. */
  | 'start'
  | AckOutcome
  /** Given back before it started. */
  | 'unclaim'
  /** Its worker's heart stopped, or the worker ended. */
  | 'takeBack'
  | 'operatorRetry'
  | 'operatorCancel'

/** What of a job decides its transitions. */
export interface JobStanding {
  readonly state: JobState
  readonly claimed: boolean
  /** Attempts charged so far. */
  readonly attempt: number
  readonly maxAttempts: number
  /** Workers that ended while they ran it, since it was last acknowledged. */
  readonly lost: number
}

const claimable: readonly JobState[] = ['scheduled', 'available', 'retryable']
const retryableByHand: readonly JobState[] = ['retryable', 'completed', 'cancelled', 'discarded']

/** The job after `event`, or undefined when the event does not apply: then nothing changes. */
export function nextStanding(job: JobStanding, event: JobEvent): JobStanding | undefined {
  switch (event) {
    case 'claim':
      return !job.claimed && claimable.includes(job.state) ? { ...job, state: 'available', claimed: true } : undefined
    case 'start':
      return isWaitingToStart(job) ? { ...job, state: 'executing', attempt: job.attempt + 1 } : undefined
    case 'unclaim':
      return isWaitingToStart(job) ? { ...job, claimed: false } : undefined
    case 'takeBack':
      return job.claimed ? takenBack(job) : undefined
    case 'operatorRetry':
      return retryableByHand.includes(job.state) ? { ...job, state: 'available', attempt: 0, lost: 0 } : undefined
    case 'operatorCancel':
      return !job.claimed && claimable.includes(job.state) ? { ...job, state: 'cancelled' } : undefined
    case 'complete':
    case 'retry':
    case 'snooze':
    case 'cancel':
    case 'discard':
    case 'release':
      return job.state === 'executing' ? acknowledged(job, event) : undefined
  }
}

function isWaitingToStart({ state, claimed }: JobStanding): boolean {
  return state === 'available' && claimed
}

/** Of a worker that died and ran nothing else: what ran beside others is charged nothing, and is run alone in the end. */
function takenBack(job: JobStanding): JobStanding {
  if (job.state !== 'executing') return { ...job, claimed: false }
  const lost = job.lost + 1
  const spent = job.attempt >= job.maxAttempts || lost >= mostLost
  return { ...job, state: spent ? 'discarded' : 'available', claimed: false, lost }
}

const mostLost = 3

function acknowledged(job: JobStanding, outcome: AckOutcome): JobStanding {
  const done = { ...job, claimed: false, lost: 0 }
  switch (outcome) {
    case 'complete':
      return { ...done, state: 'completed' }
    case 'retry':
      return { ...done, state: job.attempt < job.maxAttempts ? 'retryable' : 'discarded' }
    case 'snooze':
      return { ...done, state: 'scheduled', attempt: job.attempt - 1 }
    case 'cancel':
      return { ...done, state: 'cancelled' }
    case 'discard':
      return { ...done, state: 'discarded' }
    case 'release':
      return { ...done, state: 'available', attempt: job.attempt - 1 }
  }
}
