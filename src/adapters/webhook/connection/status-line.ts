/** What the first bytes of an answer say. */
export type StatusLine =
  | { readonly kind: 'status'; readonly status: number }
  /** It may become a status line: more has to come. */
  | { readonly kind: 'part' }
  /** HTTP, by its first five bytes, of a kind or with a status that nothing can be made of. */
  | { readonly kind: 'unreadable' }
  /** Something else: a banner of SSH, an alert of TLS. */
  | { readonly kind: 'foreign' }

/** Any version and any case: what the endpoint made of the message is in the status, whatever else is wrong. */
const whole = /^HTTP\/\d\.\d (\d{3})(?:[ \r\n]|$)/i
const longest = 'HTTP/1.1 200 '.length
const pattern = 'http/9.9 999'

/** Reads the status line that bytes begin with. */
export function readStatusLine(bytes: Uint8Array): StatusLine {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.length, longest)).toString('latin1')
  if (text.length < longest && isPart(text)) return { kind: 'part' }
  const found = whole.exec(text)
  if (found) return { kind: 'status', status: Number(found[1]) }
  return { kind: /^HTTP\//i.test(text) ? 'unreadable' : 'foreign' }
}

function isPart(text: string): boolean {
  if (text.length > pattern.length) return false
  return Array.from(text.toLowerCase()).every((character, index) =>
    pattern[index] === '9' ? character >= '0' && character <= '9' : character === pattern[index],
  )
}
