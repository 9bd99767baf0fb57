import jsonc, { type ParseError } from 'jsonc-parser'
import { refuse } from './refusal.js'

/** JSON as people keep it in files: its text stays as it is where nothing is changed. */

/**
 * Reads an object. `name` is the file's, for the error, which gives line and column.
 * @throws InputError `WAYBILL_INIT_REFUSED`
 */
export function parseObject(
  name: string,
  text: string,
  { comments }: { readonly comments: boolean },
): Readonly<Record<string, unknown>> {
  const errors: ParseError[] = []
  const options = { disallowComments: !comments, allowTrailingComma: comments }
  const value: unknown = jsonc.parse(withoutMark(text), errors, options)
  const [first] = errors
  if (first) {
    const before = withoutMark(text).slice(0, first.offset).split('\n')
    const place = `${name}:${before.length}:${(before.at(-1)?.length ?? 0) + 1}`
    throw refuse(place, `is not valid JSON (${jsonc.printParseErrorCode(first.error)}); correct it`)
  }
  if (!isObject(value)) throw refuse(name, 'must hold a JSON object; correct it')
  return value
}

/** Sets members at paths, in the indentation and line ends that the text has; what is not named is left alone. */
export function withMembers(text: string, members: readonly (readonly [path: string[], value: string])[]): string {
  const mark = text.slice(0, text.length - withoutMark(text).length)
  const indent = /\n([ \t]+)\S/.exec(text)?.[1] ?? '  '
  // line ends it takes from the text
  const formattingOptions = { insertSpaces: !indent.startsWith('\t'), tabSize: indent.length }
  const edited = members.reduce(
    (current, [path, value]) =>
      jsonc.applyEdits(current, jsonc.modify(current, [...path], value, { formattingOptions })),
    withoutMark(text),
  )
  return mark + edited
}

export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Editors on Windows put a byte order mark first, and package managers read past it. */
function withoutMark(text: string): string {
  return text.replace(/^\uFEFF/, '')
}
