import type { LogMessage } from '../../outbox/message.js'
import type { ParkedState } from '../../outbox/lane-store.js'

/** A delivery that left the fast path, as its lane's holder knows it. The row in `deliveries` is the truth. */
export interface ParkedEntry {
  readonly seq: number
  readonly id: string
  readonly topic: string
  readonly key: string | null
  state: ParkedState
  /** Attempts charged, as stored. */
  attempt: number
  /** Monotonic time of the next attempt. */
  dueAt: number
  sending: boolean
  /** Changes in memory that are not committed yet: while there are any it is not sent again. */
  dirty: number
  /** It was found guilty of failures that look like an outage: further ones do not pause the lane. */
  convicted: boolean
  /** Of the latest failure that was charged. */
  code: string | null
  message: LogMessage | undefined
  /** Attempts since the last one that was charged: each waits longer, though none counts. */
  uncharged?: number
}

export interface ParkedRules {
  readonly order: 'key' | 'none'
  readonly onDead: 'hold' | 'release'
}

/**
 * The parked deliveries of a lane: which keys are held back, and what is due. With order by key only the first of a key
 * may be sent; a dead one holds its key unless the destination says `release`.
 */
export class ParkedSet {
  readonly #rules: ParkedRules
  readonly #entries = new Set<ParkedEntry>()
  readonly #chains = new Map<string, ParkedEntry[]>()
  #nextDue = Infinity

  constructor(rules: ParkedRules) {
    this.#rules = rules
  }

  get size(): number {
    return this.#entries.size
  }

  count(state: ParkedState): number {
    let n = 0
    for (const entry of this.#entries) if (entry.state === state) n++
    return n
  }

  /** Whether later messages with this key must wait behind parked ones. */
  holds(key: string | null): boolean {
    return this.#chains.size > 0 && key !== null && this.#chains.has(key)
  }

  get heldKeys(): number {
    return this.#chains.size
  }

  add(entry: ParkedEntry): void {
    this.#entries.add(entry)
    if (this.#chained(entry)) {
      const chain = this.#chains.get(entry.key as string)
      if (chain) insertBySeq(chain, entry)
      else this.#chains.set(entry.key as string, [entry])
    }
    this.touch(entry)
  }

  remove(entry: ParkedEntry): void {
    this.#entries.delete(entry)
    this.#unchain(entry)
  }

  /** Call after `state` or `dueAt` changed. */
  touch(entry: ParkedEntry): void {
    if (entry.state === 'dead' && this.#rules.onDead === 'release') this.#unchain(entry)
    this.#nextDue = Math.min(this.#nextDue, entry.dueAt, this.#firstOf(entry)?.dueAt ?? Infinity)
  }

  /** Up to `limit` entries that may be sent now, the longest due first. */
  due(now: number, limit: number): ParkedEntry[] {
    if (now < this.#nextDue || limit <= 0) return []
    const ready: ParkedEntry[] = []
    let next = Infinity
    // a released one that was revived goes before a later one of its key, but not beside it
    const busy = new Set<string>()
    for (const entry of this.#entries) if (entry.sending && this.#chained(entry)) busy.add(entry.key as string)
    for (const entry of this.#entries) {
      if (!this.#eligible(entry, busy)) continue
      if (entry.dueAt <= now && entry.dirty === 0) ready.push(entry)
      else next = Math.min(next, entry.dueAt)
    }
    ready.sort((a, b) => a.dueAt - b.dueAt || a.seq - b.seq)
    this.#nextDue = ready.length > limit ? now : next
    return ready.slice(0, limit)
  }

  /** Monotonic time before which nothing is due; Infinity when nothing ever is. */
  get nextDue(): number {
    return this.#nextDue
  }

  #eligible(entry: ParkedEntry, busy: ReadonlySet<string>): boolean {
    if (entry.sending || entry.state === 'dead') return false
    if (!this.#chained(entry)) return true
    return this.#firstOf(entry) === entry && !busy.has(entry.key as string)
  }

  /** The first of the entry's key that is parked. */
  #firstOf({ key }: ParkedEntry): ParkedEntry | undefined {
    return key === null ? undefined : this.#chains.get(key)?.[0]
  }

  #chained(entry: ParkedEntry): boolean {
    return (
      this.#rules.order === 'key' && entry.key !== null && !(entry.state === 'dead' && this.#rules.onDead === 'release')
    )
  }

  #unchain(entry: ParkedEntry): void {
    if (entry.key === null) return
    const chain = this.#chains.get(entry.key)
    const at = chain?.indexOf(entry) ?? -1
    if (!chain || at < 0) return
    chain.splice(at, 1)
    const first = chain[0]
    if (!first) this.#chains.delete(entry.key)
    else this.#nextDue = Math.min(this.#nextDue, first.dueAt)
  }
}

function insertBySeq(chain: ParkedEntry[], entry: ParkedEntry): void {
  let at = chain.length
  while (at > 0 && (chain[at - 1] as ParkedEntry).seq > entry.seq) at--
  chain.splice(at, 0, entry)
}
