import type { Entry } from './window.js'

/**
 * Messages of the fast path that may be sent, in read order. For adapters that don't keep order themselves, one message
 * of a key is out at a time; the others wait here behind it.
 */
export class ReadyQueue {
  readonly #serial: boolean
  readonly #busy = new Map<string, Entry[]>()
  #ready: Entry[] = []
  #head = 0
  #bytes = 0

  /** `serial`: one message of a key at a time. */
  constructor(serial: boolean) {
    this.#serial = serial
  }

  /** Bytes of payload that were added and not released, as JavaScript counts them. */
  get bytes(): number {
    return this.#bytes
  }

  get length(): number {
    return this.#ready.length - this.#head
  }

  add(entry: Entry): void {
    const { key, payload } = entry.message
    this.#bytes += payload.length
    if (this.#serial && key !== null) {
      const waiting = this.#busy.get(key)
      if (waiting) {
        entry.state = 'waiting'
        waiting.push(entry)
        return
      }
      this.#busy.set(key, [])
    }
    entry.state = 'ready'
    this.#ready.push(entry)
  }

  /** The entry is settled, its key is free: the next of it may go. */
  release(entry: Entry): void {
    const { key, payload } = entry.message
    this.#bytes -= payload.length
    if (!this.#serial || key === null) return
    const next = this.#busy.get(key)?.shift()
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
    this.#head++
    if (this.#head > 1024 && this.#head * 2 > this.#ready.length) this.#compact()
    return entry
  }

  /** Puts entries back that were not delivered, uncharged, in their place. */
  putBack(entries: readonly Entry[]): void {
    for (const entry of entries) entry.state = 'ready'
    this.#ready = [...entries, ...this.#ready.slice(this.#head)].sort((a, b) => a.ordinal - b.ordinal)
    this.#head = 0
  }

  /** Takes out the first entry that `matches`. */
  take(matches: (entry: Entry) => boolean): Entry | undefined {
    for (let i = this.#head; i < this.#ready.length; i++) {
      const entry = this.#ready[i]
      if (entry && matches(entry)) {
        this.#ready.splice(i, 1)
        return entry
      }
    }
    return undefined
  }

  some(matches: (entry: Entry) => boolean): boolean {
    for (let i = this.#head; i < this.#ready.length; i++) {
      const entry = this.#ready[i]
      if (entry && matches(entry)) return true
    }
    return false
  }

  #compact(): void {
    this.#ready = this.#ready.slice(this.#head)
    this.#head = 0
  }
}
