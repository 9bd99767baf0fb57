import type { DeliveryFailure } from '../../adapters/contract.js'

/** Ids that a reason names, at most. */
const named = 20

/** Why a lane is paused, for people: the failure, then the messages that have failed so. */
export function pauseReason({ code, message }: DeliveryFailure, suspects: readonly string[]): string {
  const failure = `${code}: ${message.slice(0, 900)}`
  if (suspects.length === 0) return failure
  const ids = suspects.slice(0, named).join(', ')
  const more = suspects.length > named ? `, … (the first ${named} of ${suspects.length})` : ''
  const what = suspects.length === 1 ? '1 message has' : `${suspects.length} messages have`
  return `${failure}; ${what} failed so far ("waybill drop ID --reason …" passes one over): ${ids}${more}`
}
