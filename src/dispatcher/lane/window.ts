import type { Delta } from '../../outbox/delta.js'
import type { LogMessage } from '../../outbox/message.js'
import type { ParkedEntry } from './parked.js'

/** `suspect`: it failed as in an outage, and the search for what is to blame keeps it. */
export type EntryState = 'waiting' | 'ready' | 'sending' | 'suspect' | 'settled'

/** A message that was read and is not yet behind the cursor. */
export interface Entry {
  /** Once it is settled and was large: without its payload, which would stay while an older one holds the window. */
  message: LogMessage
  readonly delta: Delta | undefined
  /** Counts up in read order: (delta, seq), not seq. */
  readonly ordinal: number
  state: EntryState
  /** Monotonic time of the hand-over to the adapter. */
  sentAt: number
  /** Which send of the lane's it was. */
  sentNo: number
  /** Set once it has left the fast path. */
  parked: ParkedEntry | undefined
  /** Still under way, but written down as parked: the cursor may pass it. */
  passed: boolean
  /** An operator gave it up while it was under way: if it does not get through it is not sent again. */
  dropped: boolean
}

/** A parked delivery on its way: in no window. */
export function retryEntry(message: LogMessage, parked: ParkedEntry): Entry {
  return {
    message,
    delta: undefined,
    ordinal: -1,
    state: 'ready',
    sentAt: 0,
    sentNo: 0,
    parked,
    passed: false,
    dropped: false,
  }
}

/** The end of a page: everything of the delta up to `after` has been read, whether or not the lane wanted it. */
interface PageEnd {
  readonly delta: Delta
  readonly after: number
}

export interface LowWater {
  readonly delta: Delta
  readonly after: number
}

/**
 * What lies between the cursor and what has been read, in read order. The cursor may move to the low-water mark: the
 * last point before which everything is settled (delivered, or written down as parked).
 */
export class Window {
  /** Before the head undefined: what was taken off must not stay in memory. */
  #items: (Entry | PageEnd | undefined)[] = []
  #head = 0
  #size = 0
  #ordinal = 0

  /** Entries that are not behind the low-water mark. */
  get size(): number {
    return this.#size
  }

  /** The entry that holds the low-water mark back. */
  get first(): Entry | undefined {
    const item = this.#items[this.#head]
    return item && 'message' in item ? item : undefined
  }

  /** Entries that are not settled. */
  *open(): Generator<Entry> {
    for (let i = this.#head; i < this.#items.length; i++) {
      const item = this.#items[i]
      if (item && 'message' in item && item.state !== 'settled') yield item
    }
  }

  add(message: LogMessage, delta: Delta, state: EntryState): Entry {
    const entry: Entry = {
      message,
      delta,
      ordinal: this.#ordinal++,
      state,
      sentAt: 0,
      sentNo: 0,
      parked: undefined,
      passed: false,
      dropped: false,
    }
    this.#items.push(entry)
    this.#size++
    return entry
  }

  endPage(delta: Delta, after: number): void {
    this.#items.push({ delta, after })
  }

  /** Takes what is settled off the front; the mark that can now be stored, or undefined when nothing moved. */
  advance(): LowWater | undefined {
    let mark: LowWater | undefined
    for (let item = this.#items[this.#head]; item; item = this.#next()) {
      if ('after' in item) {
        mark = item
        continue
      }
      if (item.state !== 'settled' && !item.passed) break
      this.#size--
      const next = this.#items[this.#head + 1]
      // after a sequence was set back two messages may share a seq: the mark passes both or neither
      const twin =
        next !== undefined && 'message' in next && next.delta === item.delta && next.message.seq === item.message.seq
      if (!twin && item.delta) mark = { delta: item.delta, after: item.message.seq }
    }
    if (this.#head > 1024 && this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    return mark
  }

  #next(): Entry | PageEnd | undefined {
    this.#items[this.#head] = undefined
    return this.#items[++this.#head]
  }
}
