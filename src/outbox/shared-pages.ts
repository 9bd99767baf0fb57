import type { LogReader, Page, PageRequest } from './log-reader.js'
import type { LogMessage } from './message.js'

/** Pages kept after they were read: lanes that stand at the same place ask within moments of each other. */
const kept = 2

/**
 * Lets lanes of one dispatcher that stand at the same place share a page: it is read once. Messages of a page are
 * shared too; nobody changes them.
 */
export class SharedPages implements LogReader {
  readonly #reader: LogReader
  readonly #several: () => boolean
  readonly #pages = new Map<string, Promise<Page>>()

  /** `several`: whether more than one lane reads; alone, nothing is kept. */
  constructor(reader: LogReader, several: () => boolean) {
    this.#reader = reader
    this.#several = several
  }

  page(request: PageRequest): Promise<Page> {
    if (request.filter || !this.#several()) {
      this.#pages.clear()
      return this.#reader.page(request)
    }
    const { delta, after, limit, span } = request
    const { from, to } = delta
    const running = from.running.map((r) => `${r.xid}>${r.floor}`).join()
    const place = [from.snapshot, from.floor, running, to.snapshot, to.ceiling, after, limit, span].join('|')
    const known = this.#pages.get(place)
    if (known) return known
    const page = this.#reader.page(request)
    this.#pages.set(place, page)
    page.catch(() => this.#pages.delete(place))
    for (const old of [...this.#pages.keys()].slice(0, -kept)) this.#pages.delete(old)
    return page
  }

  load(seqs: readonly number[]): Promise<LogMessage[]> {
    return this.#reader.load(seqs)
  }
}
