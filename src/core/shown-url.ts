/** What people may see of a URL. Pure. */

export const hiddenText = '[redacted]'

const urlInText = /[a-z][a-z0-9+.-]*:\/\/[^\s"'<>“”‘’]+/gi
/** Words of a path and names of parameters as people choose them; what is longer, or mixed with digits, may be a token. */
const plainSegment = /^[a-z][a-z._~-]*\d{0,3}$/i
const longestSegment = 24
const longestParameter = 32

/**
 * A text with its URLs cut to what names the receiver: scheme, host, port and the first word of the path. Tokens stand
 * anywhere else: in the user's part, in the rest of the path (Slack, Teams, Telegram), in any parameter (`sig`, `code`,
 * `key`), behind a "#". Of parameters the name stays. A URL that can't be read is hidden but for its scheme.
 */
export function shownUrls(text: string): string {
  return text.replace(urlInText, shownUrl)
}

function shownUrl(text: string): string {
  const scheme = text.slice(0, text.indexOf('://'))
  if (!URL.canParse(text)) return `${scheme}://${hiddenText}`
  const { host, username, password, pathname, search, hash } = new URL(text)
  // a bare "/", "?" or "#" in a password ends the host early: what stands for the host is the user then
  if (/@/.test(pathname + search + hash) && username === '') return `${scheme}://${hiddenText}`
  const user = username === '' && password === '' ? '' : `${hiddenText}@`
  return `${scheme}://${user}${host}${shownPath(pathname)}${shownQuery(search)}${hash === '' ? '' : `#${hiddenText}`}`
}

function shownPath(pathname: string): string {
  const [, first = '', ...rest] = pathname.split('/')
  if (first === '' && rest.length === 0) return pathname
  const plain = first === '' || first === '%2f' || (plainSegment.test(first) && first.length <= longestSegment)
  return `/${plain ? first : hiddenText}${rest.some((segment) => segment !== '') ? `/${hiddenText}` : '/'.repeat(rest.length)}`
}

function shownQuery(search: string): string {
  if (search.length <= 1) return ''
  const parameters = search.slice(1).split(/[&;]/)
  return `?${parameters.map(shownParameter).join('&')}`
}

function shownParameter(parameter: string): string {
  const end = parameter.indexOf('=')
  const name = parameter.slice(0, Math.max(0, end))
  return plainSegment.test(name) && name.length <= longestParameter ? `${name}=${hiddenText}` : hiddenText
}
