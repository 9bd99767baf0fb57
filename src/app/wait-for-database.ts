import { backoffDelay } from '../core/backoff.js'
import { systemClock, type Clock } from '../core/clock.js'
import { codeOf, messageOf } from '../core/errors.js'
import { isConnectionError } from '../db/sqlstate.js'
import type { Logger } from '../telemetry/logger.js'

export interface WaitOptions {
  readonly logger: Pick<Logger, 'error' | 'info'>
  /** Ends the waiting. */
  readonly signal: AbortSignal
  readonly clock?: Clock
}

const backoff = { baseMs: 500, capMs: 15_000 }

/**
 * Calls `connect` until the database is there. False: `signal` has aborted. Rejects with what no waiting mends: a schema that is
 * missing, a wrong password, a database that there is not.
 */
export async function waitForDatabase(
  connect: () => Promise<unknown>,
  { logger, signal, clock = systemClock }: WaitOptions,
): Promise<boolean> {
  for (let failures = 0; !signal.aborted; failures++) {
    try {
      await connect()
      if (failures > 0) logger.info({ failures }, 'the database is there: starting')
      return true
    } catch (error) {
      if (!isAway(error)) throw error
      const waitMs = backoffDelay(failures + 1, backoff)
      logger.error(
        { code: codeOf(error), error: messageOf(error), waitMs },
        'the database is away: the dispatcher starts when it is there',
      )
      await clock.sleep(waitMs, signal)
    }
  }
  return false
}

/** Behind an error in words is what the driver said: a refusal is no connection either, and is not waited for. */
function isAway(error: unknown): boolean {
  if (codeOf(error) !== 'WAYBILL_DATABASE_UNREACHABLE') return isConnectionError(error)
  return isConnectionError((error as Error).cause)
}
