import { messageOf, WaybillError } from '../core/errors.js'
import { unlessItThrows } from '../core/unless-it-throws.js'
import type { Acknowledgement } from './job-store.js'

/**
 * What a handler may decide in place of success or failure, returned or thrown. They are errors so that they can be
 * thrown from deep within; a marker in place of `instanceof`, so that a second copy of this package does no harm.
 */
const brand: unique symbol = Symbol.for('waybill.jobDecision')

const tenYearsMs = 10 * 365 * 86_400_000

/** Ends the job as `cancelled`: it is no longer wanted. The attempt stays charged. */
export class Cancel extends Error {
  readonly [brand] = 'cancel'

  constructor(reason: string) {
    super(reason)
    this.name = 'Cancel'
  }
}

/** Ends the job as `discarded`: no retry will help. It is kept until an operator acts. */
export class Discard extends Error {
  readonly [brand] = 'discard'

  constructor(reason: string, options?: ErrorOptions) {
    super(reason, options)
    this.name = 'Discard'
  }
}

/** Runs the job again after `ms` milliseconds (0 to ten years), uncharged. */
export class Snooze extends Error {
  readonly [brand] = 'snooze'
  readonly ms: number

  constructor(ms: number) {
    super(`snoozed for ${ms} ms`)
    this.name = 'Snooze'
    if (!(ms >= 0 && ms <= tenYearsMs)) {
      throw new WaybillError(
        'WAYBILL_JOB_INVALID',
        `Snooze: ${ms} is not a wait; give milliseconds from 0 to ten years`,
      )
    }
    this.ms = ms
  }
}

export type Decision = Cancel | Discard | Snooze

/**
 * What a handler decided: which outcome, when the job runs again, and why. Undefined for what is no decision. Never throws: it
 * may be any object, and one that can't be looked at decides nothing.
 */
export function decisionOf(value: unknown): Pick<Acknowledgement, 'outcome' | 'inMs' | 'error'> | undefined {
  return unlessItThrows(() => {
    if (typeof value !== 'object' || value === null || !(brand in value)) return undefined
    const decision = value as Decision
    const kind: unknown = decision[brand]
    if (kind === 'snooze') return { outcome: kind, inMs: Number((decision as Snooze).ms) }
    if (kind !== 'cancel' && kind !== 'discard') return undefined
    return { outcome: kind, error: { code: kind.toUpperCase(), message: messageOf(decision) } }
  })
}
