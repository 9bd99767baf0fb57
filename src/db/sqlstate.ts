import { codeOf } from '../core/errors.js'

/** What a failed statement means for whoever ran it. By SQLSTATE (PostgreSQL, appendix A) and Node's codes, never by text. */
const connectionCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  '57P01', // admin_shutdown
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now
  '57P05', // idle_session_timeout
  '25P03', // idle_in_transaction_session_timeout
  '53300', // too_many_connections
])

/** The session is gone or could not be had: nothing is known of what it was doing. */
export function isConnectionError(error: unknown): boolean {
  const code = codeOf(error)
  if (code !== undefined) return connectionCodes.has(code) || code.startsWith('08')
  // pg itself throws plain errors without a code when a socket ends under a query or a connect times out
  return (
    error instanceof Error &&
    error.name === 'Error' &&
    !('severity' in error) &&
    'message' in error &&
    isDriverLoss(error)
  )
}

const driverLosses = new Set([
  'Connection terminated unexpectedly',
  'Connection terminated',
  'Connection terminated due to connection timeout',
  'timeout exceeded when trying to connect',
  'Client has encountered a connection error and is not queryable',
  'Client was closed and is not queryable',
  'Query read timeout',
])

function isDriverLoss(error: Error): boolean {
  return driverLosses.has(error.message)
}

/**
 * Runs one statement again when it was refused with 40001: a statement that is a transaction of its own is SERIALIZABLE where
 * default_transaction_isolation says so, and loses to commits beside it. For what must not be late, such as a heartbeat.
 */
export async function serialized<T>(run: () => Promise<T>, attempts = 5): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      if (codeOf(error) !== '40001' || attempt >= attempts) throw error
    }
  }
}

/** Lock or statement time-out, deadlock, serialization failure: the same thing may go through later. */
export function isTransient(error: unknown): boolean {
  const code = codeOf(error)
  return code === '55P03' || code === '57014' || code === '40001' || code === '40P01'
}

/**
 * The server refused the statement, and nothing of it was written: for what it said, for a lock, or for want of room. The
 * same statement may go through later. Not so a row that is there already, a session that ends, or a server that only
 * reads: there what is known is out of date.
 */
export function isRefusal(error: unknown): boolean {
  const code = codeOf(error) ?? ''
  return isAnswer(error) && code !== '23505' && !/^(25|57P|WB)/.test(code)
}

/** The server answered with an error, and goes on: nothing of the statement was written. */
export function isAnswer(error: unknown): boolean {
  return /^[0-9A-Z]{5}$/.test(codeOf(error) ?? '') && !isConnectionError(error)
}

/** Raised by Waybill's own functions. */
export const staleHolder = 'WB001'
export const staleIncarnation = 'WB002'
export const inRecovery = 'WB003'
