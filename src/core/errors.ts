/**
 * Every error Waybill throws on purpose is a `WaybillError` with a stable code. Classify by `code` (or by class within
 * one copy of the package), never by message text.
 */
export const errorCodes = [
  'WAYBILL_CONFIG_INVALID',
  'WAYBILL_CONFIG_NOT_FOUND',
  'WAYBILL_CONFIG_STALE',
  'WAYBILL_PEER_MISSING',
  'WAYBILL_PUBLISH_INVALID',
  'WAYBILL_PAYLOAD_INVALID',
  'WAYBILL_PAYLOAD_TOO_LARGE',
  'WAYBILL_TX_REQUIRED',
  'WAYBILL_TX_INVALID',
  'WAYBILL_PERMISSION_DENIED',
  'WAYBILL_QUEUE_CLOSED',
  'WAYBILL_UNKNOWN_TOPIC',
  'WAYBILL_DURATION_INVALID',
  'WAYBILL_PATTERN_INVALID',
  'WAYBILL_SCHEMA_MISSING',
  'WAYBILL_SCHEMA_NEWER',
  'WAYBILL_SCHEMA_FOREIGN',
  'WAYBILL_ROWS_HIDDEN',
  'WAYBILL_MIGRATION_CHANGED',
  'WAYBILL_MIGRATION_FAILED',
  'WAYBILL_MIGRATION_LOCKED',
  'WAYBILL_DATABASE_UNREACHABLE',
  'WAYBILL_DATABASE_IN_RECOVERY',
  'WAYBILL_DISPATCHER_STOPPED',
  'WAYBILL_STALE_HOLDER',
  'WAYBILL_LEASE_EXPIRED',
  'WAYBILL_STALE_INCARNATION',
  'WAYBILL_SEQUENCE_BEHIND',
  'WAYBILL_ADAPTER_CLOSED',
  'WAYBILL_UNKNOWN_ADAPTER',
  'WAYBILL_RUNTIME_UNSUPPORTED',
  'WAYBILL_ADDRESS_BLOCKED',
  'WAYBILL_WEBHOOK_HEADER_MISSING',
  'WAYBILL_WEBHOOK_HEADER_INVALID',
  'WAYBILL_WEBHOOK_TOO_OLD',
  'WAYBILL_WEBHOOK_TOO_NEW',
  'WAYBILL_WEBHOOK_SIGNATURE_MISMATCH',
  'WAYBILL_WEBHOOK_SECRET_INVALID',
  'WAYBILL_WEBHOOK_BODY_PARSED',
  'WAYBILL_WEBHOOK_BODY_TOO_LARGE',
  'WAYBILL_WEBHOOK_BODY_INCOMPLETE',
  'WAYBILL_WEBHOOK_PAYLOAD_INVALID',
  'WAYBILL_NOT_FOUND',
  'WAYBILL_ASSERTION_FAILED',
  'WAYBILL_TESTING_INVALID',
  'WAYBILL_TESTING_REFUSED',
  'WAYBILL_TESTING_TIMEOUT',
  'WAYBILL_USAGE',
  'WAYBILL_INIT_REFUSED',
  'WAYBILL_INIT_CHANGED',
  'WAYBILL_INBOX_INVALID',
  'WAYBILL_NESTJS_INVALID',
  'WAYBILL_JOB_FAILED',
  'WAYBILL_JOB_INVALID',
  'WAYBILL_JOB_TIMEOUT',
] as const

export type ErrorCode = (typeof errorCodes)[number]

const brand: unique symbol = Symbol.for('waybill.error')

/** The base class: `code` is stable over releases, `cause` keeps what was caught. */
export class WaybillError extends Error {
  readonly code: ErrorCode
  readonly [brand] = true

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = new.target.name
    this.code = code
  }

  /** True for an error of any copy of this package that is loaded, where `instanceof` is not. */
  static isInstance(error: unknown): error is WaybillError {
    return typeof error === 'object' && error !== null && brand in error
  }
}

/** One thing that is wrong with some input: where, and what to do. */
export interface Problem {
  /** Path of the field, dotted: `destinations.crm.url`, `payload.amount`. */
  readonly path: string
  readonly message: string
}

/** Input that was refused. Nothing was written. `problems` lists everything that is wrong, not only the first. */
export class InputError extends WaybillError {
  readonly problems: readonly Problem[]

  constructor(code: ErrorCode, summary: string, problems: readonly Problem[], options?: ErrorOptions) {
    const lines = problems.map((p) => (p.path ? `  ${p.path}: ${p.message}` : `  ${p.message}`))
    super(code, [summary, ...lines].join('\n'), options)
    this.problems = problems
  }
}

/** Characters of a text that another's code gave: more would fill logs, spans and rows. The longest list of problems is shorter. */
const longestText = 100_000

/** The text of what was thrown. Never throws, and always gives text: what was thrown may be any object, with any members. */
export function messageOf(error: unknown): string {
  try {
    const text = textOf(error)
    return text.length <= longestText ? text : `${text.slice(0, longestText)}…`
  } catch {
    return 'an error that has no text'
  }
}

function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { message, name } = error as { message: unknown; name: unknown }
  if (typeof message === 'string') return message || String(name)
  return JSON.stringify(message) ?? String(message)
}

/** The name of an error, else the type of what was thrown. Never throws. */
export function nameOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.name) : typeof error
  } catch {
    return typeof error
  }
}

/** `code` of a Node, pg or Waybill error, where it has one. Never throws. */
export function codeOf(error: unknown): string | undefined {
  try {
    if (typeof error !== 'object' || error === null || !('code' in error)) return undefined
    return typeof error.code === 'string' ? error.code : undefined
  } catch {
    return undefined
  }
}
