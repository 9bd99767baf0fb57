import { WaybillError } from '../core/errors.js'
import { whenAborted } from '../core/when-aborted.js'
import { type Delta, type Tick, followingDelta, lowest } from '../outbox/delta.js'
import type { LogReader, Page, PageFilter } from '../outbox/log-reader.js'
import type { LogMessage } from '../outbox/message.js'
import { type Share, shareOf } from '../outbox/page-shares.js'
import { isVisibleIn, parseSnapshot } from '../outbox/snapshot.js'
import type { StandbyPause } from './standby-pause.js'
import type { SharedTick, Ticker } from './ticker.js'

export interface StreamedPage {
  readonly delta: Delta
  readonly after: number
  /** Only what the lane wants. */
  readonly messages: readonly LogMessage[]
}

/** A log of which less than this part is the destination's is read with the filter in SQL. */
const selectiveBelow = 0.25
/** Messages that this is judged by, at least. */
const judgedBy = 100
const maxSpan = 200_000
/** Rows of the first page; full pages double it. */
const firstRows = 200

/** The log, page by page, from a stored position on; at the tip it waits for news. One caller at a time. */
export class PageStream {
  readonly #reader: LogReader
  readonly #nonce: string
  readonly #ticker: Ticker
  readonly #filter: PageFilter
  readonly #matches: (message: LogMessage) => boolean
  readonly #share: Share
  readonly #pause: StandbyPause
  readonly #limit: number
  /** Rows to ask for: what a page could hold lately. Few where payloads are large. */
  #rows: number
  #delta: Delta
  #after: number
  #drained: boolean
  #tick: SharedTick | undefined
  /** Sees all that the delta sees. */
  #proof: SharedTick | undefined
  #span: number
  #selective = false
  /** Messages of the lane's share that were read of late, and those among them that are its destination's. */
  #seen = 0
  #matched = 0
  #planned: readonly Delta[]
  #closing = false
  /** The next page of the delta, asked for while the lane delivers the one before: the database and the lane work at once. */
  #ahead: Promise<Page> | undefined

  constructor(options: {
    readonly reader: LogReader
    /** The incarnation that is read. */
    readonly nonce: string
    readonly ticker: Ticker
    readonly start: { readonly delta: Delta; readonly after: number }
    /** Deltas to read before those up to a fresh tick. */
    readonly planned?: readonly Delta[]
    readonly filter: PageFilter
    /** Whether a message is the destination's. */
    readonly matches: (message: LogMessage) => boolean
    /** Default: all keys. */
    readonly share?: Share
    /** Messages of a page, at most. */
    readonly limit: number
    /** Is told when reading waits for the stand-by. */
    readonly pause: StandbyPause
  }) {
    this.#reader = options.reader
    this.#nonce = options.nonce
    this.#ticker = options.ticker
    this.#filter = options.filter
    this.#matches = options.matches
    this.#share = options.share ?? { shard: 0, shards: 1 }
    this.#limit = options.limit
    this.#pause = options.pause
    this.#rows = Math.min(firstRows, options.limit)
    this.#span = this.#rows * 2
    this.#delta = options.start.delta
    this.#after = options.start.after
    this.#drained = this.#after >= this.#delta.to.ceiling
    this.#planned = options.planned ?? []
  }

  /** From now on no delta is begun but those that were planned: then it stands still. */
  close(): void {
    this.#closing = true
  }

  /** It was closed and has come to its end. */
  get halted(): boolean {
    return this.#closing && this.#drained && this.#planned.length === 0
  }

  /** Everything that `tick` sees has been read. */
  hasRead(tick: Tick): boolean {
    if (!this.#drained || this.#planned.length > 0) return false
    const to = parseSnapshot(this.#delta.to.snapshot)
    const asked = parseSnapshot(tick.snapshot)
    return to.xmax >= asked.xmax && to.running.every((xid) => !isVisibleIn(xid, asked))
  }

  /** The next page; it may hold nothing that is wanted. Waits at the tip. Rejects when `signal` aborts. */
  async next(signal: AbortSignal): Promise<StreamedPage> {
    if (this.#drained) await this.#begin(signal)
    const delta = this.#delta
    const [page] = await Promise.all([this.#ahead ?? this.#read(), this.#safe(signal)])
    this.#ahead = undefined
    this.#pause.goesOn()
    const last = page.messages.at(-1)
    if (last && this.#tick) this.#ticker.noteRead(this.#tick, last.seq)
    const mine = shareOf(page.messages, this.#share)
    const messages = mine.filter(this.#matches)
    this.#adapt(page)
    this.#judge(page, mine.length, messages.length)
    this.#after = page.after
    this.#drained = page.drained
    if (!this.#drained) this.#readAhead()
    return { delta, after: page.after, messages }
  }

  #read(): Promise<Page> {
    return this.#reader.page({
      delta: this.#delta,
      after: this.#after,
      limit: this.#rows,
      span: this.#span,
      most: this.#limit,
      filter: this.#selective ? this.#filter : null,
    })
  }

  #readAhead(): void {
    const page = this.#read()
    page.catch(() => undefined) // whoever comes for it sees the error
    this.#ahead = page
  }

  // What the delta sees may be sent. One that was planned, or begun before the lane was opened here, may not have been
  // waited for, or not at this stand-by: a tick that is taken now sees all that it does.
  async #safe(signal: AbortSignal): Promise<void> {
    this.#proof ??= this.#ofHere(await unlessOutranked(this.#ticker.fresh(), signal))
    await this.#proof.safe(signal, (reason) => this.#pause.waits(reason))
  }

  async #begin(signal: AbortSignal): Promise<void> {
    const [planned, ...later] = this.#planned
    if (planned) {
      this.#planned = later
      this.#tick = undefined
      this.#delta = planned
    } else {
      // the first comes afresh: whoever stored the start may have seen more than our latest tick
      const next = this.#tick ? this.#ticker.next(this.#tick.number, signal) : this.#ticker.fresh()
      const tick = this.#ofHere(await unlessOutranked(next, signal))
      // closed while it waited: a delta that is begun now would end behind the barrier
      if (this.#closing) {
        await whenAborted(signal)
        throw new Error('aborted')
      }
      this.#tick = tick
      this.#proof = tick
      this.#delta = followingDelta(this.#delta, tick, tick.generation)
    }
    this.#after = lowest(this.#delta)
    this.#drained = false
  }

  /** A delta has both its ends in one incarnation. */
  #ofHere(tick: SharedTick): SharedTick {
    if (tick.nonce === this.#nonce) return tick
    throw new WaybillError(
      'WAYBILL_STALE_INCARNATION',
      `a tick was taken on incarnation ${tick.nonce ?? 'none'}, and the lane reads ${this.#nonce}: the database crashed or was promoted`,
    )
  }

  // A page should be full: look at more seqs where few are wanted or many are gaps, at fewer where most are; and ask for
  // as many rows as a page's bytes allow. What a shared page was read with holds for all lanes that have it: they stay together.
  #adapt(page: Page): void {
    const { looked, limit, span } = page
    const { length } = page.messages
    const full = length >= limit
    const cut = !full && !page.drained && looked > 0 && looked < span
    this.#rows = limit
    this.#span = span
    if (full) this.#rows = Math.min(this.#limit, limit * 2)
    else if (cut) this.#rows = Math.max(1, length)
    if (full || cut) this.#span = Math.max(this.#rows * 2, Math.ceil(span / 2))
    else if (length < limit / 2 && looked >= span) this.#span = Math.min(span * 2, maxSpan)
  }

  // A lane is selective when little of the log is its destination's. A share of the keys alone makes it not so: read with the
  // filter, 12 lanes of one destination each read the whole log (58 µs a message, where one lane took 5).
  #judge(page: Page, seen: number, matched: number): void {
    if (this.#selective) {
      if (page.looked <= judgedBy) return
      this.#selective = page.messages.length < page.looked * selectiveBelow
      this.#seen = this.#matched = 0
      return
    }
    this.#seen += seen
    this.#matched += matched
    if (this.#seen < judgedBy) return
    this.#selective = this.#matched < this.#seen * selectiveBelow
    this.#seen = this.#matched = 0
  }
}

/** Where another configuration is deployed there is no tick for a lane: its dispatcher gives it back, which ends the wait. */
async function unlessOutranked(tick: Promise<SharedTick>, signal: AbortSignal): Promise<SharedTick> {
  try {
    return await tick
  } catch (error) {
    if (WaybillError.isInstance(error) && error.code === 'WAYBILL_CONFIG_STALE') await whenAborted(signal)
    throw error
  }
}
