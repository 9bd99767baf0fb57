import { finished, type Readable } from 'node:stream'
import { InputError } from '../core/errors.js'
import { bodyParsed } from './verify.js'
import { WebhookError } from './webhook-error.js'

/** 1 MiB, which is also what `publish` takes unless it is told otherwise. */
export const defaultLimit = 1_048_576

/** Throws an `InputError` for what is not a number of bytes. */
export function checkLimit(limit: number): number {
  if (Number.isSafeInteger(limit) && limit > 0) return limit
  const message = `must be a whole number of bytes from 1, not ${typeof limit === 'number' ? limit : typeof limit}`
  throw new InputError('WAYBILL_CONFIG_INVALID', 'the receiver cannot be built', [{ path: 'limit', message }])
}

/**
 * The body of a request, as it came. Rejects with a `WebhookError`: `WAYBILL_WEBHOOK_BODY_TOO_LARGE` for more than `limit`
 * bytes (default 1 MiB; what comes after is read and dropped, so that the sender gets to see the answer),
 * `WAYBILL_WEBHOOK_BODY_PARSED` when somebody has read it already, `WAYBILL_WEBHOOK_BODY_INCOMPLETE` when it breaks off.
 */
export async function readRawBody(
  request: Readable,
  { limit = defaultLimit }: { limit?: number } = {},
): Promise<Buffer> {
  checkLimit(limit)
  if (request.readableDidRead) throw bodyParsed(undefined)
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let size = 0
    request.on('data', (data: Buffer | string) => {
      const chunk = typeof data === 'string' ? Buffer.from(data) : data
      size += chunk.length
      if (size <= limit) return void chunks.push(chunk)
      chunks.length = 0
      reject(tooLarge(limit))
    })
    finished(request, { writable: false }, (cause) => {
      if (!cause) resolve(Buffer.concat(chunks))
      else
        reject(new WebhookError('WAYBILL_WEBHOOK_BODY_INCOMPLETE', `the body broke off after ${size} bytes`, { cause }))
    })
  })
}

export function tooLarge(limit: number): WebhookError {
  const message = `the body is longer than ${limit} bytes; raise limit if such messages are meant, or publish a reference to the data`
  return new WebhookError('WAYBILL_WEBHOOK_BODY_TOO_LARGE', message)
}
