/**
 * Text that a header can't hold as it is. A header value is printable ASCII (RFC 9110, 5.5, without what it calls
 * obsolete); keys and application headers may be any Unicode.
 */

const percentEncode = (text: string, keep: RegExp): string =>
  Array.from(Buffer.from(text, 'utf8'), (byte) => {
    const character = String.fromCharCode(byte)
    return keep.test(character) ? character : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }).join('')

const plainKey = /^[\x21-\x24\x26-\x7e]*$/
const keyCharacter = /[\x21-\x24\x26-\x7e]/

/**
 * A key, percent-encoded: visible ASCII other than `%` stays, every other byte of its UTF-8 becomes `%XX`.
 * `decodeURIComponent` gives the key back.
 */
export function encodeKey(key: string): string {
  return plainKey.test(key) ? key : percentEncode(key, keyCharacter)
}

const plainValue = /^([\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?$/

/** True when a header can carry the text unchanged: printable ASCII without a space at either end. */
export function isPlainValue(text: string): boolean {
  return plainValue.test(text)
}

const plainName = /^[!#$%&'*+.^_`|~0-9a-z-]+$/
const nameCharacter = /[!#$&'*+.^_`|~0-9a-z-]/

/** True when the text, lower case already, is a header's name. */
export function isPlainName(text: string): boolean {
  return plainName.test(text)
}

/** A header name from any text that is not empty; `decodeURIComponent` gives it back. */
export function encodeName(text: string): string {
  return percentEncode(text, nameCharacter)
}
