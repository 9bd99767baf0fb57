import type { Clock } from '../../core/clock.js'
import type { DeliverySettings } from '../../core/delivery-settings.js'
import type { ParkedState, StoredDelivery } from '../../outbox/lane-store.js'
import type { LogReader } from '../../outbox/log-reader.js'
import type { CommitBuffer } from './commit-buffer.js'
import { type ParkedEntry, ParkedSet } from './parked.js'
import { type Entry, retryEntry } from './window.js'

/** Names a delivery within its lane. */
export interface DeliveryName {
  readonly seq: number
  readonly id: string
}

export interface LaneParkedOptions {
  readonly settings: DeliverySettings
  readonly clock: Clock
  readonly reader: LogReader
  readonly buffer: CommitBuffer
}

/** The parked deliveries of a lane: its memory of `waybill.deliveries`, kept in step with what is stored. */
export class LaneParked {
  readonly #o: LaneParkedOptions
  readonly #set: ParkedSet
  readonly #byId = new Map<string, ParkedEntry>()
  /** Parked before this lane was opened. Where the cursor was held back then, their pages are read once more. */
  readonly #before: Set<string>
  /** What operators gave up, and may lie ahead of the cursor. */
  #dropped: Set<string>

  constructor(
    options: LaneParkedOptions,
    stored: { readonly parked: readonly StoredDelivery[]; readonly dropped: readonly DeliveryName[] },
  ) {
    this.#o = options
    this.#set = new ParkedSet(options.settings)
    this.#before = new Set(stored.parked.map(idOf))
    this.#dropped = new Set(stored.dropped.map(idOf))
    for (const row of stored.parked) this.#adopt(row)
  }

  /**
   * Whether a message that was read is one that an earlier holder parked: it is in good hands, delivered since, or was
   * dropped by an operator. Sent on the fast path too it would be parked twice, which the database refuses, at each
   * restart anew; or sent against the operator's word.
   */
  takes(message: DeliveryName): boolean {
    if (this.#before.size + this.#dropped.size === 0) return false
    const id = idOf(message)
    return this.#dropped.has(id) || this.#before.delete(id)
  }

  isDropped(message: DeliveryName): boolean {
    return this.#dropped.size > 0 && this.#dropped.has(idOf(message))
  }

  get size(): number {
    return this.#set.size
  }

  get dead(): number {
    return this.#set.count('dead')
  }

  get nextDue(): number {
    return this.#set.nextDue
  }

  /** Whether a message with this key must wait behind a parked one. */
  holds(key: string | null): boolean {
    return this.#o.settings.order === 'key' && this.#set.holds(key)
  }

  has(entry: ParkedEntry): boolean {
    return this.#byId.get(idOf(entry)) === entry
  }

  due(now: number, limit: number): ParkedEntry[] {
    return this.#set.due(now, limit)
  }

  /** Call after `state` or `dueAt` of an entry changed. */
  touch(entry: ParkedEntry): void {
    this.#set.touch(entry)
  }

  /** A message leaves the fast path. */
  park(entry: Entry, state: ParkedState, attempt: number, dueAt: number): ParkedEntry {
    const { seq, id, topic, key } = entry.message
    const parked: ParkedEntry = {
      ...{ seq, id, topic, key, state, attempt, dueAt },
      sending: false,
      dirty: 0,
      convicted: false,
      code: null,
      message: undefined,
    }
    entry.parked = parked
    this.#remember(parked)
    return parked
  }

  forget(entry: ParkedEntry): void {
    this.#byId.delete(idOf(entry))
    this.#set.remove(entry)
  }

  /** Takes over what an operator changed. What is under way or not committed yet is left for the next time. */
  compare(rows: readonly StoredDelivery[], dropped: readonly DeliveryName[]): void {
    this.#dropped = new Set(dropped.map(idOf))
    const stored = new Map(rows.map((row) => [idOf(row), row]))
    for (const [id, entry] of [...this.#byId]) {
      if (entry.sending || entry.dirty > 0) continue
      const row = stored.get(id)
      if (!row) this.forget(entry)
      else if (row.attempt !== entry.attempt || row.state !== entry.state) this.#changed(entry, row)
    }
    // rows of what has got through since, and is not committed yet, are no news
    const settled = new Set(this.#o.buffer.settled.map(idOf))
    for (const [id, row] of stored) if (!this.#byId.has(id) && !settled.has(id)) this.#adopt(row)
  }

  /**
   * Reads the payloads of parked deliveries. One that is past retention is dead: its payload is gone. Those that there was no
   * room for stay due.
   */
  async load(parked: readonly ParkedEntry[]): Promise<Entry[]> {
    const missing = parked.filter((entry) => !entry.message)
    const loaded = await this.#o.reader.load(missing.map((entry) => entry.seq))
    const messages = new Map(loaded.messages.map((message) => [idOf(message), message]))
    const later = new Set(loaded.later.map(idOf))
    const entries: Entry[] = []
    for (const entry of parked) {
      if (this.isDropped(entry)) {
        this.forget(entry) // an operator was faster than the commit that wrote it down
        continue
      }
      entry.message ??= messages.get(idOf(entry))
      if (entry.message) {
        entry.message.attempt = entry.attempt + 1
        entries.push(retryEntry(entry.message, entry))
      } else if (later.has(idOf(entry))) {
        entry.sending = false
        this.#set.touch(entry)
      } else {
        this.#expired(entry)
      }
    }
    return entries
  }

  #expired(entry: ParkedEntry): void {
    entry.sending = false
    entry.state = 'dead'
    this.#set.touch(entry)
    const message = 'the message is past retention: its payload is no longer in the log'
    this.#o.buffer.update(entry, entry.attempt, null, { code: 'EXPIRED', message })
  }

  #changed(entry: ParkedEntry, row: StoredDelivery): void {
    const revived = entry.state === 'dead' && row.state !== 'dead'
    if (revived) this.forget(entry)
    entry.attempt = row.attempt
    entry.state = row.state
    entry.convicted = false
    entry.code = row.errorCode
    entry.dueAt = this.#o.clock.monotonic() + row.dueInMs
    if (revived) this.#remember(entry)
    else this.#set.touch(entry)
  }

  #adopt(row: StoredDelivery): void {
    const { seq, id, topic, key, state, attempt, errorCode } = row
    this.#remember({
      ...{ seq, id, topic, key, state, attempt, code: errorCode },
      dueAt: this.#o.clock.monotonic() + (state === 'retrying' ? row.dueInMs : 0),
      sending: false,
      dirty: 0,
      convicted: false,
      message: undefined,
    })
  }

  #remember(entry: ParkedEntry): void {
    this.#byId.set(idOf(entry), entry)
    this.#set.add(entry)
  }
}

export function idOf({ seq, id }: DeliveryName): string {
  return `${seq}:${id}`
}
