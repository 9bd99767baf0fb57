// eslint-disable-next-line no-control-regex -- that is what is looked for
const unstorable = /[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]|\u0000/g

/** The text as PostgreSQL can keep it: U+FFFD in place of U+0000 and of each half of a surrogate pair. */
export function storableText(text: string): string {
  return text.replace(unstorable, '\ufffd')
}

/** How JSON writes what `storableText` replaces. */
const escaped = /\\u(?:0000|d[89a-f])/

/**
 * JSON text of a value, as `jsonb` takes it: the texts in it may be a partner's. Costs one look at the text (30 ns for a
 * receipt) where there is nothing to replace.
 */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value)
  if (!escaped.test(text)) return text
  return JSON.stringify(value, (_, each: unknown) => (typeof each === 'string' ? storableText(each) : each))
}
