import { isSystemHeader, type WebhookSettings } from '../../config/destinations/webhook.js'
import { version } from '../../core/version.js'
import { contextBytes, contextPrefix, contextSignatureHeader, signedPrefix } from '../../core/webhook-keys.js'
import type { OutboundMessage } from '../contract.js'
import { encodeKey, encodeName, isPlainName, isPlainValue } from './header-text.js'
import { createSigner } from './signature.js'

/** Names and values in turn, as undici takes them. */
export type RequestHeaders = string[]

export type HeaderBuilder = (
  message: OutboundMessage,
  body: Buffer,
  timestamp: number,
  authorization: string | undefined,
) => RequestHeaders

/** Application headers that would say who is asking: settings may write them, a publisher may not. */
const settingsOnly = new Set(['authorization', 'cookie', 'user-agent'])

/**
 * Headers of a request: what the adapter writes, then the settings' own, then the application's. A name that one of the
 * former has is not taken from the latter. `timestamp` is in seconds.
 */
export function createHeaderBuilder(
  settings: Pick<WebhookSettings, 'headers' | 'secrets' | 'signContext'>,
): HeaderBuilder {
  const own = new Map(Object.entries(settings.headers).map(([name, value]) => [name.toLowerCase(), value.reveal()]))
  const fixed = ['content-type', 'application/json']
  if (!own.has('user-agent')) fixed.push('user-agent', `waybill/${version}`)
  for (const [name, value] of own) fixed.push(name, value)
  const sign = createSigner(settings.secrets)
  const { signContext } = settings

  return (message, body, timestamp, authorization) => {
    const id = encodeKey(message.id)
    const headers = [...fixed, 'webhook-id', id, 'webhook-timestamp', String(timestamp)]
    const topic = encodeKey(message.topic)
    const key = message.key === null ? undefined : encodeKey(message.key)
    const attempt = String(message.attempt)
    headers.push('webhook-topic', topic, 'webhook-attempt', attempt)
    if (key !== undefined) headers.push('webhook-key', key)
    if (sign) headers.push('webhook-signature', sign(signedPrefix(id, timestamp), body))
    if (sign && signContext) {
      const signature = sign(contextPrefix(id, timestamp), contextBytes(topic, key, attempt))
      headers.push(contextSignatureHeader, signature)
    }
    if (authorization !== undefined) headers.push('authorization', authorization)
    pushApplicationHeaders(headers, message.headers, own)
    return headers
  }
}

function pushApplicationHeaders(
  headers: RequestHeaders,
  application: OutboundMessage['headers'],
  own: ReadonlyMap<string, string>,
): void {
  let encoded: string[] | undefined
  for (const given in application) {
    const value = application[given]
    const name = given.toLowerCase()
    if (value === undefined || name === '' || isSystemHeader(name) || settingsOnly.has(name) || own.has(name)) continue
    if (isPlainName(name) && isPlainValue(value)) {
      headers.push(name, value)
    } else {
      const sentName = isPlainName(name) ? name : encodeName(name)
      headers.push(sentName, encodeKey(value))
      encoded = [...(encoded ?? []), sentName]
    }
  }
  // says which of them a receiver has to decode: in all others a "%" is just a "%"
  if (encoded) headers.push('webhook-encoded-headers', encoded.join(','))
}
