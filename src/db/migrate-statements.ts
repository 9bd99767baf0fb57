export interface SqlStatement {
  readonly text: string
  /** Line of its first word in the file, from 1. */
  readonly line: number
}

/**
 * Splits a script at its top-level semicolons, as psql does: quotes, dollar quotes and (nested) comments are skipped.
 * One statement at a time is what lets an error name its line, and what CREATE INDEX CONCURRENTLY needs.
 * Not known here: `BEGIN ATOMIC` bodies; write function bodies in dollar quotes.
 */
export function splitStatements(script: string): SqlStatement[] {
  const statements: SqlStatement[] = []
  let start = 0
  let at = 0
  const push = (end: number): void => {
    const first = skipBlank(script, start, end)
    if (first < end) statements.push({ text: script.slice(first, end).trim(), line: lineOf(script, first) })
    start = end + 1
  }
  while (at < script.length) {
    if (script[at] === ';') push(at++)
    else at = skipToken(script, at)
  }
  push(script.length)
  return statements
}

/** Line of the character at `index`, from 1. */
export function lineOf(text: string, index: number): number {
  let line = 1
  for (let i = text.indexOf('\n'); i !== -1 && i < index; i = text.indexOf('\n', i + 1)) line += 1
  return line
}

const word = /[A-Za-z0-9_\u0080-\uffff$]+/y
const dollarTag = /\$(?:[A-Za-z_\u0080-\uffff][A-Za-z0-9_\u0080-\uffff]*)?\$/y

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at
  return pattern.exec(text)?.[0]
}

/** The index behind whatever begins at `at`; an unfinished quote or comment reaches to the end. */
function skipToken(text: string, at: number): number {
  const two = text.slice(at, at + 2)
  if (two === '--') return endOf(text, '\n', at)
  if (two === '/*') return skipComment(text, at)
  if (/^[eE]'$/.test(two)) return skipQuoted(text, at + 1, true)
  if (text[at] === "'" || text[at] === '"') return skipQuoted(text, at, false)
  const tag = matchAt(dollarTag, text, at)
  if (tag !== undefined) return endOf(text, tag, at + tag.length)
  return at + (matchAt(word, text, at)?.length ?? 1)
}

function endOf(text: string, mark: string, from: number): number {
  const found = text.indexOf(mark, from)
  return found === -1 ? text.length : found + mark.length
}

/** A doubled quote ends one string and begins the next, which comes to the same. */
function skipQuoted(text: string, at: number, backslashes: boolean): number {
  const quote = text[at]
  for (let i = at + 1; i < text.length; i++) {
    if (backslashes && text[i] === '\\') i += 1
    else if (text[i] === quote) return i + 1
  }
  return text.length
}

function skipComment(text: string, at: number): number {
  let depth = 0
  for (let i = at; i < text.length; i++) {
    const two = text.slice(i, i + 2)
    if (two === '/*') depth += 1
    else if (two === '*/') depth -= 1
    else continue
    i += 1
    if (depth === 0) return i + 1
  }
  return text.length
}

/** Past white space and comments. */
function skipBlank(text: string, from: number, end: number): number {
  let at = from
  while (at < end) {
    if (/\s/.test(text[at] ?? '')) at += 1
    else if (text.startsWith('--', at) || text.startsWith('/*', at)) at = skipToken(text, at)
    else break
  }
  return Math.min(at, end)
}
