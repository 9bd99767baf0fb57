import type { Writable } from 'node:stream'

/** One column of a table for people. */
export interface Column<Row> {
  readonly title: string
  readonly value: (row: Row) => string | number | bigint | boolean | Date | null | undefined
  /** Numbers read better on the right. Default `left`. */
  readonly align?: 'left' | 'right'
}

/** Where a command's results go: tables and sentences for people, JSON for programs (`--json`), never both. */
export class Output {
  readonly json: boolean
  readonly #stdout: Writable

  constructor(stdout: Writable, json: boolean) {
    this.#stdout = stdout
    this.json = json
  }

  /** Rows of a list: a table, or one JSON array. `none` is what people read when there are no rows. */
  table<Row extends object>(rows: readonly Row[], columns: readonly Column<Row>[], none = 'nothing found'): void {
    if (this.json) return this.#write(toJson(rows, 2))
    this.#write(rows.length === 0 ? none : renderTable(rows, columns))
  }

  /** One result: the text for people, or the value as JSON. */
  value(value: unknown, text: string): void {
    this.#write(this.json ? toJson(value, 2) : text)
  }

  /** One of a stream of results: a line of text, or a line of JSON (NDJSON). */
  item(value: unknown, text: string): void {
    this.#write(this.json ? toJson(value) : text)
  }

  /** A remark for people only; a program does not see it. */
  note(text: string): void {
    if (!this.json) this.#write(text)
  }

  #write(text: string): void {
    this.#stdout.write(`${text}\n`)
  }
}

/** JSON in which bigints are text: a sequence number may be larger than a JavaScript number. */
export function toJson(value: unknown, indent?: number): string {
  return JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? item.toString() : item), indent)
}

/** Aligned columns, two spaces apart; titles in capitals. */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const lines = [
    columns.map((c) => c.title.toUpperCase()),
    ...rows.map((row) => columns.map((c) => cell(c.value(row)))),
  ]
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => width(line[index] ?? ''))))
  return lines
    .map((line) =>
      line
        .map((text, index) => {
          const space = ' '.repeat((widths[index] ?? 0) - width(text))
          return columns[index]?.align === 'right' ? space + text : text + space
        })
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

function cell(value: string | number | bigint | boolean | Date | null | undefined): string {
  if (value === null || value === undefined || value === '') return '-'
  if (value instanceof Date) return value.toISOString()
  if (typeof value === 'number' || typeof value === 'bigint') return formatCount(value)
  return printable(String(value))
}

function width(text: string): number {
  return [...text].length
}

/** Text from outside with its control characters visible: a topic or an error must not drive the reader's terminal. */
export function printable(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) => {
    const known: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }
    return known[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
}

/** `12,345`. */
export function formatCount(count: number | bigint): string {
  return count.toLocaleString('en-US')
}

const steps = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
] as const

/** The two largest units of a duration in milliseconds: `2d 3h`, `5m 10s`, `1.5s`, `250ms`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms)) return '-'
  if (ms < 0) return `-${formatDuration(-ms)}`
  if (ms < 1000) return `${Math.round(ms)}ms`
  if (ms < 10_000) return `${Math.round(ms / 100) / 10}s`
  let rest = Math.round(ms / 1000) * 1000
  const parts: string[] = []
  for (const [unit, size] of steps) {
    const count = Math.floor(rest / size)
    rest -= count * size
    // "2d 0h" says no more than "2d", and "2d 4s" would skip units
    if (count > 0) parts.push(`${count}${unit}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

/** Anything JSON-like as indented `key: value` lines. */
export function renderTree(value: unknown, indent = ''): string {
  if (Array.isArray(value)) {
    if (value.length === 0) return `${indent}(none)`
    return value.map((item) => branch('-', item, indent)).join('\n')
  }
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
    if (entries.length === 0) return `${indent}(none)`
    return entries.map(([key, item]) => branch(`${printable(key)}:`, item, indent)).join('\n')
  }
  return `${indent}${leaf(value)}`
}

function branch(label: string, item: unknown, indent: string): string {
  if (typeof item !== 'object' || item === null) return `${indent}${label} ${leaf(item)}`
  if (Object.keys(item).length === 0) return `${indent}${label} (none)`
  return `${indent}${label}\n${renderTree(item, `${indent}  `)}`
}

function leaf(value: unknown): string {
  if (value === null || value === undefined) return '-'
  return printable(typeof value === 'string' ? value : toJson(value))
}
