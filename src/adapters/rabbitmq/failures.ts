import { codeOf, messageOf, WaybillError } from '../../core/errors.js'
import { isLastingTlsError } from '../../core/tls-errors.js'
import type { Outcome } from '../contract.js'

/** AMQP 0-9-1 reply codes that are told apart here (https://www.rabbitmq.com/amqp-0-9-1-reference#constants). */
export const replyCodes = { accessRefused: 403, notFound: 404, preconditionFailed: 406, notAllowed: 530 } as const

/** `basic` and `publish` of AMQP 0-9-1: what a channel was doing when the broker closed it. */
const basicClass = 60
const publishMethod = 40

/**
 * The reply code of an error from amqplib. It is `error.code`, except for a refusal during the opening handshake, which
 * amqplib 2.3 reports as text alone: `Handshake terminated by server: 403 (ACCESS-REFUSED) …`. The number in it is the
 * protocol's, written by amqplib, so it is read from there.
 */
export function replyCodeOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  if ('code' in error && typeof error.code === 'number') return error.code
  const match = /^Handshake terminated by server: (\d{3}) /.exec(messageOf(error))
  return match?.[1] === undefined ? undefined : Number(match[1])
}

/**
 * amqplib 2.3 reports a refused virtual host (530, unknown or not permitted) without code and without the broker's words:
 * it says which frame it got in place of `connection.open-ok`.
 */
function isRefusedOpen(error: unknown): boolean {
  return messageOf(error).startsWith('Expected ConnectionOpenOk; got <ConnectionClose')
}

/** True for the one error a channel can be closed with because a body was larger than the broker takes. */
export function isTooLarge(error: unknown): boolean {
  return replyCodeOf(error) === replyCodes.preconditionFailed && isFromPublish(error)
}

function isFromPublish(error: unknown): boolean {
  if (typeof error !== 'object' || error === null) return false
  return 'classId' in error && error.classId === basicClass && 'methodId' in error && error.methodId === publishMethod
}

function describe(error: unknown): string {
  const code = codeOf(error)
  const text = messageOf(error)
  return code === undefined || text.includes(code) ? text : `${code}: ${text}`
}

/** What a failure to connect, sign in or declare means for the destination. */
export function connectOutcome(error: unknown): Outcome {
  if (WaybillError.isInstance(error)) return misconfigured(error.code, error.message)
  const code = codeOf(error)
  if (isLastingTlsError(code)) {
    const remedy = "check the broker's certificate, tls.ca, tls.cert and tls.servername"
    return misconfigured('AMQP_TLS_FAILED', `${messageOf(error).trim()} (${code}); ${remedy}`)
  }
  if (isRefusedOpen(error)) {
    return misconfigured(
      'AMQP_VHOST',
      'the broker refused the virtual host: check the path of url, and the permissions',
    )
  }
  return brokerOutcome(error, 'AMQP_UNREACHABLE')
}

/** What the end of a channel or connection that was up means for the messages on it. */
export function lostOutcome(error: unknown): Outcome {
  return brokerOutcome(error, 'AMQP_CONNECTION_LOST')
}

const remedies: ReadonlyMap<number, readonly [code: string, remedy: string]> = new Map([
  [replyCodes.accessRefused, ['AMQP_ACCESS_REFUSED', 'check user, password and permissions']],
  [replyCodes.notFound, ['AMQP_NOT_FOUND', 'declare it, or correct the settings']],
  [replyCodes.preconditionFailed, ['AMQP_PRECONDITION_FAILED', 'what exists differs from the settings']],
  [replyCodes.notAllowed, ['AMQP_NOT_ALLOWED', 'the broker does not allow it']],
])

function brokerOutcome(error: unknown, fallback: string): Outcome {
  const known = remedies.get(replyCodeOf(error) ?? 0)
  return known ? misconfigured(known[0], `${known[1]}: ${messageOf(error)}`) : pause(fallback, describe(error))
}

export function pause(code: string, message: string): Outcome {
  return { kind: 'pause', failure: { code, message } }
}

export function misconfigured(code: string, message: string): Outcome {
  return { kind: 'misconfigured', failure: { code, message } }
}

export function retry(code: string, message: string): Outcome {
  return { kind: 'retry', failure: { code, message } }
}

export function dead(code: string, message: string): Outcome {
  return { kind: 'dead', failure: { code, message } }
}
