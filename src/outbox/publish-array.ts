/**
 * The text of a PostgreSQL array (documentation, 8.15.6). Each element is quoted, so that none can be taken for NULL; and no
 * NULL is ever written, for where `array_nulls` is off that is a word like others. What may be null goes as empty text.
 */
export function arrayLiteral(elements: readonly string[]): string {
  const quoted = elements.map((element) => `"${element.replace(/["\\]/g, '\\$&')}"`)
  return `{${quoted.join(',')}}`
}
