import { createHash } from 'node:crypto'
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
 * A plain, JSON-compatible picture of a configuration for people and logs: secrets are `[redacted]`, as are passwords
 * within URLs and texts under names such as `authorization`. Of the database only host, port and name are shown.
 */
export function redact(config: Omit<ResolvedConfig, 'warnings'>): Json {
  const { url, directUrl } = config.database
  const database = { ...config.database, url: databasePlace(url), directUrl: directUrl && databasePlace(directUrl) }
  return plain({ ...config, database })
}

/**
 * SHA-256 (hex) over destinations and routes: equal for equal behaviour, whatever the order of keys. Neither the values
 * of secrets nor the database take part, so that rotating a password changes nothing.
 */
export function fingerprintConfig(config: ResolvedConfig): string {
  const destinations = Object.fromEntries(config.destinations.map(({ name, ...rest }) => [name, rest]))
  const routes = Object.fromEntries(config.routes.map((route) => [route.pattern, [...route.destinations].sort()]))
  return createHash('sha256')
    .update(JSON.stringify(sorted(plain({ destinations, routes }))))
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

/** JSON without secrets. */
function plain(value: unknown, name = ''): Json {
  if (value instanceof Secret || isEnvReference(value)) return redacted
  if (value === null || value === undefined) return null
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (typeof value === 'bigint') return value.toString()
  const hidden = tellingName.test(name) && !harmlessName.test(name)
  if (typeof value === 'string') return hidden ? redacted : withoutCredentials(value)
  if (value instanceof Date) return value.toISOString()
  if (value instanceof URL) return withoutCredentials(value.href)
  if (value instanceof RegExp) return value.source
  if (value instanceof Uint8Array) return `[${value.length} bytes]`
  // a list or an object under a telling name hides the texts inside
  if (Array.isArray(value)) return value.map((item) => plain(item, hidden ? name : ''))
  if (value instanceof Map) return plain(Object.fromEntries(value as Map<string, unknown>), name)
  if (value instanceof Set) return plain([...value], name)
  if (typeof value !== 'object') return `[${typeof value}]`
  const entries = Object.entries(value)
    .filter(([, item]) => item !== undefined)
    .map(([key, item]): [string, Json] => [key, plain(item, hidden ? name : key)])
  return Object.fromEntries(entries)
}

/** Text with the user's part of a URL, and parameters that are called like a secret, masked. */
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

/** `postgres://host:5432/name`. Whatever is not plainly that is not shown at all. */
function databasePlace(secret: Secret): string {
  const text = secret.reveal()
  if (!URL.canParse(text)) return redacted
  const { protocol, host, pathname, search, hash, username, password } = new URL(text)
  // a password with a bare "/", "?" or "#" ends the host early: its parts would stand where host and name do
  const suspicious = host === '' || /[@:]/.test(pathname + search + hash) || (username === '' && password !== '')
  if (suspicious || !/^postgres(ql)?:$/.test(protocol)) return redacted
  return `${protocol}//${host}${pathname}`
}
