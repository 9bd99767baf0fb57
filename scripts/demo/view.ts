import type { BoardRow } from './board.js'
import { bar, count, type Paint, seconds, table } from './text.js'

export interface Progress {
  readonly published: number
  readonly messages: number
  readonly rolledBack: number
}

/** Shows how it goes: redrawn in place on a terminal, else a line now and then. */
export class View {
  readonly #out: NodeJS.WriteStream
  readonly #paint: Paint
  readonly #started = performance.now()
  #live: readonly string[] = []
  #lastLine = 0

  constructor(out: NodeJS.WriteStream, paint: Paint) {
    this.#out = out
    this.#paint = paint
  }

  /** Something that happened; stays on the screen, with its time. */
  tell(text: string): void {
    this.#above(`  ${this.#paint.dim(this.#clock())}  ${text}`)
  }

  /** Text of several lines, as it is. */
  print(lines: readonly string[]): void {
    this.#above(lines.join('\n'))
  }

  update({ published, messages, rolledBack }: Progress, rows: readonly BoardRow[]): void {
    if (this.#out.isTTY) {
      const share = published / messages
      this.#draw([
        '',
        `  ${bar(share, 40)} ${Math.floor(share * 100)} %   ${count(published)} of ${count(messages)} published, ${count(rolledBack)} rolled back`,
        '',
        ...this.#rows(rows),
        '',
      ])
      return
    }
    const now = performance.now()
    if (now - this.#lastLine < 2000) return
    this.#lastLine = now
    const states = rows.map(({ name, received, parked, behind, behindSeconds }) => {
      const notes = [
        parked > 0 ? `${parked} parked` : '',
        behind > 0 ? `lag ${behind} · ${behindSeconds.toFixed(1)} s` : '',
      ]
      const text = notes.filter(Boolean).join(', ')
      return `${name} ${count(received)}${text === '' ? '' : ` (${text})`}`
    })
    this.tell(`published ${count(published)}/${count(messages)}   ${states.join('   ')}`)
  }

  /** Takes the live part off the screen. */
  clear(): void {
    this.#draw([])
  }

  #rows(rows: readonly BoardRow[]): string[] {
    const columns = [
      { title: 'destination' },
      { title: '' },
      ...['published', 'delivered', 'parked', 'lag'].map((title) => ({ title, align: 'right' as const })),
      { title: '' },
    ]
    const cells = rows.map(({ name, kind, published, received, parked, dead, behind, behindSeconds, pause }) => [
      name,
      kind,
      count(published),
      count(received),
      dead > 0 ? `${count(parked)} + ${count(dead)} dead` : count(parked),
      behind > 0 ? `${count(behind)} · ${behindSeconds.toFixed(1)} s` : '0',
      pause,
    ])
    return table(columns, cells, (cell, row, column) => {
      if (row < 0 || column === 1) return this.#paint.dim(cell)
      if (column === 0) return this.#paint.bold(cell)
      return column >= 4 && cell.trim() !== '0' ? this.#paint.yellow(cell) : cell
    })
  }

  #clock(): string {
    return seconds(performance.now() - this.#started).padStart(7)
  }

  #above(text: string): void {
    const live = this.#live
    this.#draw([])
    this.#out.write(`${text}\n`)
    this.#draw(live)
  }

  #draw(lines: readonly string[]): void {
    if (!this.#out.isTTY) return
    const up = this.#live.length > 0 ? `\u001b[${this.#live.length}F\u001b[0J` : ''
    // A line that wraps would take two rows: the next redraw would leave one behind.
    const width = this.#out.columns
    const text = lines.map((line) => `${clip(line, width - 1)}\n`).join('')
    if (up !== '' || text !== '') this.#out.write(up + text)
    this.#live = lines
  }
}

/** Cuts what is seen, not the colours in it. */
function clip(line: string, width: number): string {
  let seen = 0
  // eslint-disable-next-line no-control-regex -- escape sequences are what it is about
  const text = line.replaceAll(/\u001b\[\d+m|./g, (part) => (part.length > 1 || seen++ < width ? part : ''))
  return text
}
