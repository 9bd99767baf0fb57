import type { Entry } from './window.js'

/**
 * Messages of the fast path that may be sent, in read order. For adapters that don't keep order themselves, one message
 * of a key is out at a time; the others wait here behind it. For those that do, they wait behind one that is set aside.
 */
export class ReadyQueue {
  readonly #serial: boolean
  /** What waits behind a message of its key. */
  readonly #busy = new Map<string, Entry[]>()
  /** Where several of a key may be out: the messages that were set aside, by key. */
  readonly #aside = new Map<string, Entry>()
  /** Before the head undefined: what was taken out must not stay in memory (1,024 messages of a megabyte did). */
  #ready: (Entry | undefined)[] = []
  #head = 0
  #bytes = 0

  /** `serial`: one message of a key at a time. */
  constructor(serial: boolean) {
    this.#serial = serial
  }

  /** Bytes of payloads and headers that were added and not released, as JavaScript counts them. */
  get bytes(): number {
    return this.#bytes
  }

  get length(): number {
    return this.#ready.length - this.#head
  }

  add(entry: Entry): void {
    const { key, bytes } = entry.message
    this.#bytes += bytes
    if (this.#serial && key !== null) {
      const waiting = this.#busy.get(key)
      if (waiting) {
        entry.state = 'waiting'
        waiting.push(entry)
        return
      }
      this.#busy.set(key, [])
    } else if (this.#waits(entry)) return
    entry.state = 'ready'
    this.#ready.push(entry)
  }

  /** The entry is settled, its key is free: the next of it may go. */
  release(entry: Entry): void {
    const { key, bytes } = entry.message
    this.#bytes -= bytes
    if (key === null) return
    if (!this.#serial) return this.#free(entry, key)
    let next = this.#busy.get(key)?.shift()
    // one that was dropped while it waited
    while (next?.state === 'settled') next = this.#busy.get(key)?.shift()
    if (!next) {
      this.#busy.delete(key)
      return
    }
    next.state = 'ready'
    this.#ready.push(next)
  }

  shift(): Entry | undefined {
    const entry = this.#ready[this.#head]
    if (!entry) return undefined
    this.#ready[this.#head++] = undefined
    if (this.#head > 1024 && this.#head * 2 > this.#ready.length) this.#compact()
    return entry
  }

  /** Puts entries back that were not delivered, uncharged, in their place. */
  putBack(entries: readonly Entry[]): void {
    for (const entry of this.#aside.size > 0 ? entries : [])
      if (entry.message.key !== null) this.#free(entry, entry.message.key)
    const back = this.#aside.size > 0 ? entries.filter((entry) => !this.#waits(entry)) : entries
    for (const entry of back) entry.state = 'ready'
    this.#ready = [...back, ...this.#rest()].sort((a, b) => a.ordinal - b.ordinal)
    this.#head = 0
  }

  /** An entry that was sent is kept elsewhere, unsettled, while others go on: those of its key wait until it is released. */
  setAside(entry: Entry): void {
    const { key } = entry.message
    if (this.#serial || key === null || this.#aside.has(key)) return
    this.#aside.set(key, entry)
    this.#busy.set(key, [])
    const rest = this.#rest().filter((other) => !this.#waits(other))
    this.#ready = rest
    this.#head = 0
  }

  /** Whether one of the entry's key was set aside that comes before it. */
  waitsBehind({ message: { key }, ordinal }: Entry): boolean {
    const aside = key === null ? undefined : this.#aside.get(key)
    return aside !== undefined && aside.ordinal < ordinal
  }

  /** Takes out an entry that is ready, or waits: it is settled and never sent. */
  drop(entry: Entry): void {
    if (entry.state === 'waiting') {
      entry.state = 'settled' // its place in the line is skipped when it comes
      this.#bytes -= entry.message.bytes
    } else if (this.take(entry)) {
      this.release(entry)
    }
  }

  /** Takes out an entry that is ready. */
  take(entry: Entry): boolean {
    const at = this.#ready.indexOf(entry, this.#head)
    if (at >= 0) this.#ready.splice(at, 1)
    return at >= 0
  }

  /** What may be sent ahead of everything else, in read order: of a key, where order matters, the first alone. */
  candidates(byKey: boolean, holds: (key: string | null) => boolean): Entry[] {
    const seen = new Set<string>()
    return this.#rest().filter(({ message: { key } }) => {
      if (key === null || !byKey) return true
      if (seen.has(key)) return false
      seen.add(key)
      return !holds(key)
    })
  }

  /** Whether there is any such. */
  hasCandidate(holds: (key: string | null) => boolean): boolean {
    for (let i = this.#head; i < this.#ready.length; i++) {
      const entry = this.#ready[i]
      if (entry && !holds(entry.message.key)) return true
    }
    return false
  }

  /** Puts the entry behind the one of its key that was set aside, if there is one. */
  #waits(entry: Entry): boolean {
    const { key } = entry.message
    if (key === null || this.#aside.size === 0 || !this.#aside.has(key)) return false
    entry.state = 'waiting'
    const line = this.#busy.get(key) as Entry[]
    let at = line.length
    while (at > 0 && (line[at - 1] as Entry).ordinal > entry.ordinal) at--
    line.splice(at, 0, entry)
    return true
  }

  #free(entry: Entry, key: string): void {
    if (this.#aside.get(key) !== entry) return
    const line = this.#busy.get(key) ?? []
    this.#aside.delete(key)
    this.#busy.delete(key)
    this.putBack(line.filter(({ state }) => state !== 'settled'))
  }

  #rest(): Entry[] {
    return this.#ready.slice(this.#head) as Entry[]
  }

  #compact(): void {
    this.#ready = this.#rest()
    this.#head = 0
  }
}
