/**
 * Where a database is, as its URL says, for people: never a user, a password or a parameter. Pure; the text of a URL that is
 * wrong is never part of what is said about it, as any of its parts may be a password in a place of another.
 */

const encoding =
  'in the user, the password and the name write @ : / ? # [ ] % and spaces percent-encoded, as %40 %3A %2F %3F %23 %5B %5D %25 %20'
const form = 'give postgres://user:password@host:5432/name'

/** The values that pg and Waybill know; what libpq would not understand it refuses too. */
const sslModes = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify']

/** A name, an address, or the path of a socket. */
const hostSyntax = /^[\p{L}\p{N}_./:[\]@%~-]*$/u

/** The text without white space at its ends: line breaks come with files and with `echo … | base64`. */
export function trimmedUrl(text: string): string {
  return text.trim()
}

/**
 * What is wrong with a text that should be a PostgreSQL URL, and the remedy, as the end of a sentence: "is not a PostgreSQL
 * URL: …". Undefined when it is one. `pg` itself takes any text for a URL, or for the name of a database.
 */
export function databaseUrlProblem(text: string): string | undefined {
  const found = shapeProblem(trimmedUrl(text))
  return found === undefined ? undefined : `is not a PostgreSQL URL: ${found}`
}

function shapeProblem(text: string): string | undefined {
  if (!/^postgres(ql)?:\/\//i.test(text)) return otherForm(text)
  if (/[\r\n\t]/.test(text)) return `it has a line break or a tab within; ${form}`
  // what a password ends early, by a character that it should not have, is a place or a parameter to a parser of URLs
  if (text.includes('#')) return `it has a bare "#"; ${encoding}`
  const url = parsed(text)?.url
  if (url === undefined) return `it can't be read; ${encoding}; name one host, and a port up to 65535`
  if (url.pathname.includes('@') || (url.username === '' && url.search.includes('@')))
    return `it has an "@" behind the host; ${encoding}`
  if (!hostSyntax.test(decoded(url.hostname)) || url.searchParams.get('host')?.includes(',') === true)
    return 'it names several hosts, or what is no name of a host; name one'
  const mode = url.searchParams.get('sslmode')
  if (mode !== null && !sslModes.includes(mode)) return `its sslmode is not one of ${sslModes.join(', ')}`
  return undefined
}

function otherForm(text: string): string {
  if (text === '') return `it is empty; ${form}`
  if (/^["'“”‘’„`«»]/u.test(text)) return 'there are quotes around it; leave them out'
  if (/^psql\b/i.test(text)) return 'it is a command of psql; give only the URL in it, without quotes'
  if (/^(export\s+)?\w+\s*=\s*\S*:\/\//i.test(text))
    return 'it begins with the name of a variable; give only what follows the "="'
  if (/^jdbc:/i.test(text)) return `it is one of JDBC; ${form}`
  if (/(^|\s)(host|hostaddr|user|password|dbname|port)\s*=/i.test(text)) return `it is in libpq's keyword form; ${form}`
  if (/^[a-z][a-z0-9+.-]*:/i.test(text) && text.includes('://')) return `it begins with another scheme; ${form}`
  return `it does not begin with postgres://; ${form}`
}

/** A user before no host is what pg takes for a socket or the default host; the parser of URLs does not. */
function parsed(text: string): { readonly url: URL; readonly host: string } | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url) return { url, host: decoded(url.hostname) }
  const hosted = text.replace('@/', '@nowhere/')
  return hosted !== text && URL.canParse(hosted) ? { url: new URL(hosted), host: '' } : undefined
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** `database "shop" at db.example:5432`; of what is no URL, no more than that. */
export function databasePlace(text: string): string {
  const place = placeOf(text)
  return place === undefined ? 'the database' : `database "${place.name}" at ${place.host}:${place.port || 5432}`
}

/** `postgres://db.example/shop`, with a port where one is given; undefined for what is no URL. */
export function shownDatabaseUrl(text: string): string | undefined {
  const place = placeOf(text)
  return place && `postgres://${place.host}${place.port && `:${place.port}`}/${place.name}`
}

function placeOf(text: string): { readonly host: string; readonly port: string; readonly name: string } | undefined {
  const found = databaseUrlProblem(text) === undefined ? parsed(trimmedUrl(text)) : undefined
  if (found === undefined) return undefined
  const { url } = found
  const host = url.searchParams.get('host') ?? found.host
  const port = url.searchParams.get('port') ?? url.port
  const name = decoded(url.pathname.slice(1))
  return { host: host || 'localhost', port, name }
}

/**
 * The URL for `pg`. Today's pg takes `require`, `prefer` and `verify-ca` for `verify-full` (the certificate and its name are
 * checked), says so in twelve lines at each start, and announces that it will take them otherwise: what is meant is written.
 */
export function urlForPg(text: string): string {
  const url = trimmedUrl(text)
  if (/[?&]uselibpqcompat=true(&|$)/.test(url)) return url
  return url.replace(/([?&]sslmode=)(require|prefer|verify-ca)(?=&|$)/, '$1verify-full')
}
