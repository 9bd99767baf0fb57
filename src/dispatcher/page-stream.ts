import { type Delta, type Tick, followingDelta } from '../outbox/delta.js'
import type { LogReader, Page, PageFilter } from '../outbox/log-reader.js'
import type { LogMessage } from '../outbox/message.js'
import { isVisibleIn, parseSnapshot } from '../outbox/snapshot.js'
import type { SharedTick, Ticker } from './ticker.js'

export interface StreamedPage {
  readonly delta: Delta
  readonly after: number
  /** Only what the lane wants. */
  readonly messages: readonly LogMessage[]
}

/** Pages of which less than this part is wanted are read with the filter in SQL. */
const selectiveBelow = 0.25
const maxSpan = 200_000
/** Rows of the first page; full pages double it. */
const firstRows = 200

/** The log, page by page, from a stored position on; at the tip it waits for news. One caller at a time. */
export class PageStream {
  readonly #reader: LogReader
  readonly #ticker: Ticker
  readonly #filter: PageFilter
  readonly #wants: (message: LogMessage) => boolean
  readonly #limit: number
  /** Rows to ask for: what a page could hold lately. Few where payloads are large. */
  #rows: number
  #delta: Delta
  #after: number
  #drained: boolean
  #tick: SharedTick | undefined
  #span: number
  #selective = false

  constructor(options: {
    readonly reader: LogReader
    readonly ticker: Ticker
    readonly start: { readonly delta: Delta; readonly after: number }
    readonly filter: PageFilter
    readonly wants: (message: LogMessage) => boolean
    /** Messages of a page, at most. */
    readonly limit: number
  }) {
    this.#reader = options.reader
    this.#ticker = options.ticker
    this.#filter = options.filter
    this.#wants = options.wants
    this.#limit = options.limit
    this.#rows = Math.min(firstRows, options.limit)
    this.#span = this.#rows * 2
    this.#delta = options.start.delta
    this.#after = options.start.after
    this.#drained = this.#after >= this.#delta.to.ceiling
  }

  /** Everything that `tick` sees has been read. */
  hasRead(tick: Tick): boolean {
    if (!this.#drained) return false
    const to = parseSnapshot(this.#delta.to.snapshot)
    const asked = parseSnapshot(tick.snapshot)
    return to.xmax >= asked.xmax && to.running.every((xid) => !isVisibleIn(xid, asked))
  }

  /** The next page; it may hold nothing that is wanted. Waits at the tip. Rejects when `signal` aborts. */
  async next(signal: AbortSignal): Promise<StreamedPage> {
    if (this.#drained) {
      // the first comes afresh: whoever stored the start may have seen more than our latest tick
      this.#tick = this.#tick ? await this.#ticker.next(this.#tick.number, signal) : await this.#ticker.fresh()
      this.#delta = followingDelta(this.#delta, this.#tick)
      this.#after = lowest(this.#delta)
      this.#drained = false
    }
    const delta = this.#delta
    const [page] = await Promise.all([
      this.#reader.page({
        delta,
        after: this.#after,
        limit: this.#rows,
        span: this.#span,
        filter: this.#selective ? this.#filter : null,
      }),
      this.#tick?.durable(),
    ])
    const messages = page.messages.filter(this.#wants)
    this.#adapt(page, messages.length, page.after - Math.max(this.#after, delta.from.floor))
    this.#after = page.after
    this.#drained = page.drained
    return { delta, after: page.after, messages }
  }

  // A page should be full: look at more seqs where few are wanted or many are gaps, at fewer where most are; and ask for
  // as many rows as a page's bytes allow.
  #adapt(page: Page, wanted: number, looked: number): void {
    const { length } = page.messages
    const full = length >= this.#rows
    const cut = !full && !page.drained && looked > 0 && looked < this.#span
    if (full) this.#rows = Math.min(this.#limit, this.#rows * 2)
    else if (cut) this.#rows = Math.max(1, length)
    if (full || cut) this.#span = Math.max(this.#rows * 2, Math.ceil(this.#span / 2))
    else if (length < this.#rows / 2 && looked >= this.#span) this.#span = Math.min(this.#span * 2, maxSpan)
    if (!this.#selective && page.messages.length >= 100)
      this.#selective = wanted < page.messages.length * selectiveBelow
    else if (this.#selective && looked > 100) this.#selective = wanted < looked * selectiveBelow
  }
}

/** Where the reading of a delta starts: below its lowest straggler. */
export function lowest(delta: Delta): number {
  let low = delta.from.floor
  for (const { floor } of delta.from.running) if (floor < low) low = floor
  return low
}
