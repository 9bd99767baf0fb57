import { type ErrorCode, WaybillError } from '../core/errors.js'

/** The status to answer with, where it is not 400: 401 says that the sender did not prove who it is. */
const statuses: Partial<Record<ErrorCode, number>> = {
  WAYBILL_WEBHOOK_TOO_OLD: 401,
  WAYBILL_WEBHOOK_TOO_NEW: 401,
  WAYBILL_WEBHOOK_SIGNATURE_MISMATCH: 401,
  WAYBILL_WEBHOOK_BODY_TOO_LARGE: 413,
  // ours to mend, not the sender's
  WAYBILL_WEBHOOK_BODY_PARSED: 500,
}

/**
 * A webhook that was refused. `code` says why; `header` names the header at fault, in lower case, where it is one. The
 * message has the remedy, and never a secret, a signature that would have held, or the payload.
 */
export class WebhookError extends WaybillError {
  readonly header: string | undefined
  /** The HTTP status to answer with: 400, 401, 413, or 500 where the receiver itself is put together wrongly. */
  readonly status: number

  constructor(code: ErrorCode, message: string, { header, cause }: { header?: string; cause?: unknown } = {}) {
    super(code, message, cause === undefined ? undefined : { cause })
    this.header = header
    // without a signature nobody proved anything: for the sender that is a matter of its settings, not of this message
    const unsigned = code === 'WAYBILL_WEBHOOK_HEADER_MISSING' && header === 'webhook-signature'
    this.status = unsigned ? 401 : (statuses[code] ?? 400)
  }
}
