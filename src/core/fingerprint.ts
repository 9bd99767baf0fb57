import { storableText } from './storable-text.js'

/**
 * Groups failures that differ only in numbers, ids and quoted text: the code, and the message with those taken out.
 * At most 200 characters.
 */
export function failureFingerprint(code: string, message: string): string {
  const shape = message
    .replace(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '#')
    .replace(/"[^"]*"|'[^']*'/g, '#')
    .replace(/\d+/g, '#')
    .replace(/\s+/g, ' ')
  // the cut may go through a character
  return storableText(`${code}: ${shape}`.slice(0, 200))
}
