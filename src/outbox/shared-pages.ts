import type { LogReader, Page, PageRequest } from './log-reader.js'

/** Pages kept for lanes that have not had them, at most: those that stand near each other ask soon after. */
const mostPages = 16
/** Characters of payload in them, at most. Two are kept whatever they hold: the one that lanes have, and the next. */
const mostBytes = 16 * 1024 * 1024
const leastPages = 2

interface Kept {
  readonly page: Promise<Page>
  bytes: number
  /** Lanes that it was given to. */
  given: number
}

/**
 * Lets lanes of one dispatcher that stand at the same place, in the same incarnation, share a page: it is read once, and they
 * go on with the same size of page. A lane that fell behind reads alone until it stands where others do. Messages of a page are
 * shared too; they are never changed.
 */
export class SharedPages {
  readonly #open: (nonce: string) => LogReader
  readonly #lanes: () => number
  readonly #pages = new Map<string, Kept>()

  /** `open`: reads one incarnation. `lanes`: how many there are. A page that all of them have had is not kept. */
  constructor(open: (nonce: string) => LogReader, lanes: () => number) {
    this.#open = open
    this.#lanes = lanes
  }

  /** For a lane that reads the incarnation `nonce`. */
  reader(nonce: string): LogReader {
    const reader = this.#open(nonce)
    return { load: (seqs) => reader.load(seqs), page: (request) => this.#page(reader, nonce, request) }
  }

  #page(reader: LogReader, nonce: string, request: PageRequest): Promise<Page> {
    const lanes = this.#lanes()
    if (lanes < 2) {
      this.#pages.clear()
      return reader.page(request)
    }
    const place = placeOf(nonce, request)
    const known = this.#pages.get(place)
    if (known) {
      // kept longer, 12 lanes spent a seventh of their time on collecting garbage
      if (++known.given >= lanes) this.#pages.delete(place)
      return known.page
    }
    const page = reader.page(request)
    const kept: Kept = { page, bytes: 0, given: 1 }
    this.#pages.set(place, kept)
    page.then(
      ({ messages }) => {
        for (const { payload } of messages) kept.bytes += payload.length
        this.#forget()
      },
      () => this.#pages.delete(place),
    )
    return page
  }

  #forget(): void {
    let bytes = 0
    for (const kept of this.#pages.values()) bytes += kept.bytes
    for (const [place, kept] of this.#pages) {
      if (this.#pages.size <= leastPages || (this.#pages.size <= mostPages && bytes <= mostBytes)) return
      this.#pages.delete(place)
      bytes -= kept.bytes
    }
  }
}

function placeOf(nonce: string, { delta, after, limit, most = limit, filter }: PageRequest): string {
  const { from, to } = delta
  const running = from.running.map((r) => `${r.xid}>${r.floor}`).join()
  const wanted = filter ? `${filter.destination}|${filter.topicRegex}` : ''
  // after a failover the same snapshots and floors come again, of other transactions
  return [nonce, from.snapshot, from.floor, running, to.snapshot, to.ceiling, after, most, wanted].join('|')
}
