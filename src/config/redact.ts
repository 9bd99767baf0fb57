import { createHash } from 'node:crypto'
import { shownDatabaseUrl } from '../core/database-url.js'
import { shownUrls } from '../core/shown-url.js'
import { isEnvReference, redacted, Secret } from './destinations/secret.js'
import type { ResolvedConfig } from './resolve.js'

/** What `redact` gives: plain JSON. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json }

/** Names of settings whose text is not shown although their schema does not call them secret: headers, query parameters. */
const tellingName =
  /passw|passphrase|secret|token|api[-_]?key|authori[sz]ation|cookie|private[-_]?key|credential|signature/i
/** …and names that only contain such a word. */
const harmlessName = /(url|header|headers|ms|name|id|type|count|length)$/i

/**
 * A plain, JSON-compatible picture of a configuration for people, logs and `waybill.destinations`: secrets are `[redacted]`,
 * as are texts under names such as `authorization`, and of URLs all but the host and the first word of the path. Of the
 * database only host, port and name are shown.
 */
export function redact(config: Omit<ResolvedConfig, 'warnings'>): Json {
  const { url, directUrl, ...database } = config.database
  const place = (secret: Secret): string => shownDatabaseUrl(secret.reveal()) ?? redacted
  const places = { url: place(url), ...(directUrl && { directUrl: place(directUrl) }) }
  const shown = plain({ ...config, database }, shownUrls) as Readonly<Record<string, Json>>
  return { ...shown, database: { ...places, ...database } }
}

/**
 * SHA-256 (hex) over destinations and routes: equal for equal behaviour, whatever the order of keys. Neither the values
 * of secrets nor the database take part, so that rotating a password changes nothing.
 */
export function fingerprintConfig(config: ResolvedConfig): string {
  const destinations = Object.fromEntries(config.destinations.map(({ name, ...rest }) => [name, rest]))
  const routes = Object.fromEntries(config.routes.map((route) => [route.pattern, [...route.destinations].sort()]))
  return createHash('sha256')
    .update(JSON.stringify(sorted(plain({ destinations, routes }, withoutCredentials))))
    .digest('hex')
}

/** The same with its keys in order. */
function sorted(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(sorted)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value as { readonly [key: string]: Json })
  return Object.fromEntries(
    entries.map(([key, item]) => [key, sorted(item)] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
  )
}

/** JSON without secrets. `texts` is what becomes of a text in which a URL may stand. */
function plain(value: unknown, texts: (text: string) => string, name = ''): Json {
  if (value instanceof Secret || isEnvReference(value)) return redacted
  if (value === null || value === undefined) return null
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return value.toString()
  const hidden = tellingName.test(name) && !harmlessName.test(name)
  if (typeof value === 'string') return hidden ? redacted : texts(value)
  if (value instanceof Date) return value.toISOString()
  if (value instanceof URL) return texts(value.href)
  if (value instanceof RegExp) return value.source
  if (value instanceof Uint8Array) return `[${value.length} bytes]`
  // a list or an object under a telling name hides the texts inside
  if (Array.isArray(value)) return value.map((item) => plain(item, texts, hidden ? name : ''))
  if (value instanceof Map) return plain(Object.fromEntries(value as Map<string, unknown>), texts, name)
  if (value instanceof Set) return plain([...value], texts, name)
  if (typeof value !== 'object') return `[${typeof value}]`
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]): [string, Json] => [key, plain(item, texts, hidden ? name : key)])
  return Object.fromEntries(entries)
}

/**
 * For the fingerprint: a URL's path and parameters are part of what a destination does. Its user's part, and parameters that
 * are called like a secret, may change without it.
 */
function withoutCredentials(text: string): string {
  if (!text.includes('://')) return text
  if (!URL.canParse(text)) return text.replace(/:\/\/\S*@/g, `://${redacted}@`)
  const url = new URL(text)
  let shown = text
  if (url.username !== '' || url.password !== '') shown = shown.replace(/:\/\/[^/?#]*@/, `://${redacted}@`)
  return shown.replace(/([?&;])([^=&#]+)=([^&#]*)/g, (whole, before: string, key: string) =>
    tellingName.test(key) ? `${before}${key}=${redacted}` : whole,
  )
}
