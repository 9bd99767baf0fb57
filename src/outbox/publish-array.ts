/** The text of a PostgreSQL array (documentation, 8.15.6): each element quoted, so that none can be taken for NULL. */
export function arrayLiteral(elements: readonly (string | null)[]): string {
  const quoted = elements.map((element) => (element === null ? 'NULL' : `"${element.replace(/["\\]/g, '\\$&')}"`))
  return `{${quoted.join(',')}}`
}
