import type { LogReader, Page, PageRequest } from './log-reader.js'

/** Pages kept after they were read: lanes that stand at the same place ask within moments of each other. */
const kept = 2

/**
 * Lets lanes of one dispatcher that stand at the same place, in the same incarnation, share a page: it is read once. Messages of a
 * page are shared too; nobody changes them.
 */
export class SharedPages {
  readonly #open: (nonce: string) => LogReader
  readonly #several: () => boolean
  readonly #pages = new Map<string, Promise<Page>>()

  /** `open`: reads one incarnation. `several`: whether more than one lane reads; alone, nothing is kept. */
  constructor(open: (nonce: string) => LogReader, several: () => boolean) {
    this.#open = open
    this.#several = several
  }

  /** For a lane that reads the incarnation `nonce`. */
  reader(nonce: string): LogReader {
    const reader = this.#open(nonce)
    return { load: (seqs) => reader.load(seqs), page: (request) => this.#page(reader, nonce, request) }
  }

  #page(reader: LogReader, nonce: string, request: PageRequest): Promise<Page> {
    if (request.filter || !this.#several()) {
      this.#pages.clear()
      return reader.page(request)
    }
    const { delta, after, limit, span } = request
    const { from, to } = delta
    const running = from.running.map((r) => `${r.xid}>${r.floor}`).join()
    // after a failover the same snapshots and floors come again, of other transactions
    const place = [nonce, from.snapshot, from.floor, running, to.snapshot, to.ceiling, after, limit, span].join('|')
    const known = this.#pages.get(place)
    if (known) return known
    const page = reader.page(request)
    this.#pages.set(place, page)
    page.catch(() => this.#pages.delete(place))
    for (const old of [...this.#pages.keys()].slice(0, -kept)) this.#pages.delete(old)
    return page
  }
}
