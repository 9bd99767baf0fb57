import { errors } from 'undici'
import { codeOf, messageOf } from '../../core/errors.js'
import { isLastingTlsError } from '../../core/tls-errors.js'
import type { Outcome } from '../contract.js'

type Failed = Exclude<Outcome, { kind: 'delivered' }>

/**
 * The endpoint, or what stands before it, is down or throttling; nothing says that it is this message. 408 is the
 * endpoint's own time-out of our request, 421 a server that is not this host's. 521–527 and 530 are Cloudflare's "origin is
 * down, unreachable, timed out, its certificate does not hold", 598 and 599 other proxies' time-outs. 430, 509 and 529
 * throttle (Shopify, cPanel, Anthropic and others).
 */
const pausing = new Set([408, 421, 429, 430, 502, 503, 504, 509, 521, 522, 523, 524, 525, 526, 527, 529, 530, 598, 599])

/** Concerns every message alike: credentials (401, 403), a URL that has moved for good (301, 308) or is gone (410). */
const misconfigured = new Map([
  [301, 'the endpoint has moved; redirects are not followed, set url to where it is now'],
  [308, 'the endpoint has moved; redirects are not followed, set url to where it is now'],
  [401, 'the endpoint does not accept the credentials; check auth, headers and secrets'],
  [403, 'the endpoint refuses these credentials; check auth, headers and secrets'],
  [410, 'the endpoint says that it is gone; set url to another one, or remove the destination'],
])

/** A refusing answer. */
export interface Answer {
  readonly status: number
  /** Milliseconds, already bounded. */
  readonly retryAfterMs: number | undefined
  /** A short piece of the answer's text, fit for an error message; empty when there is none. */
  readonly excerpt: string
}

/** What the settings say of statuses. */
export type Meanings = ReadonlyMap<number, Failed['kind']>

function usualMeaning(status: number): Failed['kind'] {
  if (misconfigured.has(status)) return 'misconfigured'
  return pausing.has(status) ? 'pause' : 'retry'
}

/** What an answer that is not 2xx means. `endpoint` is scheme and host only: paths and queries may carry tokens. */
export function outcomeOfStatus(endpoint: string, answer: Answer, meanings: Meanings): Failed {
  const { status, excerpt } = answer
  const kind = meanings.get(status) ?? usualMeaning(status)
  const remedy = misconfigured.get(status) ?? (status >= 300 && status < 400 ? 'redirects are not followed' : undefined)
  const digits = String(status).padStart(3, '0')
  const text = [`POST ${endpoint} answered ${digits}`, remedy, excerpt && JSON.stringify(excerpt)]
    .filter(Boolean)
    .join(': ')
  const failure = { code: `HTTP_${digits}`, message: text }
  if (kind === 'dead' || kind === 'misconfigured') return { kind, failure }
  return answer.retryAfterMs === undefined ? { kind, failure } : { kind, failure, retryAfterMs: answer.retryAfterMs }
}

const codes = new Map([
  ['ECONNREFUSED', 'CONNECTION_REFUSED'],
  ['ECONNRESET', 'CONNECTION_RESET'],
  ['ECONNABORTED', 'CONNECTION_RESET'],
  ['EPIPE', 'CONNECTION_RESET'],
  ['UND_ERR_SOCKET', 'CONNECTION_RESET'],
  ['ETIMEDOUT', 'CONNECT_TIMEOUT'],
  ['UND_ERR_CONNECT_TIMEOUT', 'CONNECT_TIMEOUT'],
  ['ENOTFOUND', 'DNS_FAILED'],
  ['EAI_AGAIN', 'DNS_FAILED'],
  ['EAI_FAIL', 'DNS_FAILED'],
  ['EAI_NODATA', 'DNS_FAILED'],
  ['UND_ERR_HEADERS_OVERFLOW', 'HTTP_PROTOCOL'],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'HTTP_PROTOCOL'],
])

/** Connecting to each of a name's addresses failed: Node gives them all, and the first speaks for them. */
function firstOf(error: unknown): unknown {
  return error instanceof AggregateError && error.errors.length > 0 ? error.errors[0] : error
}

/** The connection was lost before an answer came: a keep-alive connection may have been closed as it was used again. */
export function isConnectionLost(error: unknown): boolean {
  return codes.get(codeOf(error) ?? '') === 'CONNECTION_RESET'
}

/** The parser could make nothing of what came. */
export function isProtocolError(error: unknown): boolean {
  return error instanceof errors.HTTPParserError || codes.get(codeOf(error) ?? '') === 'HTTP_PROTOCOL'
}

/** HTTP answered, so something took the request; what became of the message can't be read. Once each attempt, then it is dead. */
export function unreadable(endpoint: string): Failed {
  return {
    kind: 'retry',
    failure: { code: 'HTTP_PROTOCOL', message: `POST ${endpoint} answered with a status line that cannot be read` },
  }
}

/** What an error without any answer means. Certificates apart, nothing tells whether it is this message: it pauses. */
export function outcomeOfError(endpoint: string, caught: unknown): Failed {
  const error = firstOf(caught)
  const code = codeOf(error) ?? ''
  const failure = (name: string, remedy = ''): Failed['failure'] => ({
    code: name,
    message: `POST ${endpoint}: ${messageOf(error)}${remedy}`,
  })
  if (code === 'WAYBILL_ADDRESS_BLOCKED') return { kind: 'misconfigured', failure: failure('ADDRESS_BLOCKED') }
  if (isLastingTlsError(code)) {
    return {
      kind: 'misconfigured',
      failure: failure('TLS_FAILED', ` (${code}); check the certificate, tls.ca, tls.cert and url`),
    }
  }
  // undici refused to build the request: a bug, and one of this message
  if (code === 'UND_ERR_INVALID_ARG') return { kind: 'retry', failure: failure('REQUEST_INVALID') }
  const name = codes.get(code) ?? (error instanceof errors.HTTPParserError ? 'HTTP_PROTOCOL' : 'CONNECTION_FAILED')
  return { kind: 'pause', failure: failure(name, code && ` (${code})`) }
}

/** The request's time was up. `sent`: it was on its way; otherwise there was no connection yet. */
export function outcomeOfTimeout(endpoint: string, timeoutMs: number, sent: boolean): Failed {
  const message = sent
    ? `POST ${endpoint}: no answer within ${timeoutMs} ms`
    : `POST ${endpoint}: no connection within ${timeoutMs} ms`
  // One message may be at fault, or the whole endpoint: only the lane, which sees the others, can tell. So not charged.
  return { kind: 'pause', failure: { code: sent ? 'TIMEOUT' : 'CONNECT_TIMEOUT', message } }
}
