import type { DeliveryFailure, Receipt } from '../../adapters/contract.js'
import { failureFingerprint } from '../../core/fingerprint.js'
import type { AttemptRow, LaneCommit, ParkedRow, ReceiptRow } from '../../outbox/lane-store.js'
import type { ParkedEntry } from './parked.js'

const maxErrorLength = 2000

interface Sent {
  readonly id: string
  readonly seq: number
}

/** What the next commit of a lane will write, besides its position. */
export class CommitBuffer {
  #parked: (ParkedRow & { topic: string; key: string | null })[] = []
  #updated: (ParkedRow & { was: number })[] = []
  #settled: { seq: number; id: string; was: number }[] = []
  #attempts: AttemptRow[] = []
  #receipts: ReceiptRow[] = []
  #dirty: ParkedEntry[] = []

  get empty(): boolean {
    return (
      this.#parked.length +
        this.#updated.length +
        this.#settled.length +
        this.#attempts.length +
        this.#receipts.length ===
      0
    )
  }

  /** A message leaves the fast path. `dueInMs`: until its first attempt off it; null when it waits for another. */
  park(entry: ParkedEntry, dueInMs: number | null, failure?: DeliveryFailure): void {
    this.#parked.push({ ...row(entry, dueInMs, failure), topic: entry.topic, key: entry.key })
    this.#touch(entry)
  }

  /** A parked delivery changed; `was`: the attempts charged before. */
  update(entry: ParkedEntry, was: number, dueInMs: number | null, failure?: DeliveryFailure): void {
    this.#updated.push({ ...row(entry, dueInMs, failure), was })
    this.#touch(entry)
  }

  settle(entry: ParkedEntry): void {
    this.#settled.push({ seq: entry.seq, id: entry.id, was: entry.attempt })
  }

  /** Deliveries that are settled and whose rows are still there. */
  get settled(): readonly { readonly seq: number; readonly id: string }[] {
    return this.#settled
  }

  attempt(message: Sent, attempt: number, outcome: string, ms: number, failure?: DeliveryFailure): void {
    this.#attempts.push({
      id: message.id,
      seq: message.seq,
      attempt,
      outcome,
      code: failure?.code ?? null,
      error: failure?.message.slice(0, maxErrorLength) ?? null,
      ms: Math.round(ms),
    })
  }

  receipt(message: Sent, attempt: number, ms: number, receipt: Receipt | undefined): void {
    this.#receipts.push({ id: message.id, seq: message.seq, attempt, ms: Math.round(ms), receipt: receipt ?? null })
  }

  /** Hands everything over and starts afresh. `done` is to be called when it is committed. */
  take(): { rows: Omit<LaneCommit, 'position' | 'newDelta'>; done: () => void } {
    const rows = {
      parked: this.#parked,
      updated: this.#updated,
      settled: this.#settled,
      attempts: this.#attempts,
      receipts: this.#receipts,
    }
    const dirty = this.#dirty
    this.#parked = []
    this.#updated = []
    this.#settled = []
    this.#attempts = []
    this.#receipts = []
    this.#dirty = []
    return {
      rows,
      done: () => {
        for (const entry of dirty) entry.dirty--
      },
    }
  }

  #touch(entry: ParkedEntry): void {
    entry.dirty++
    this.#dirty.push(entry)
  }
}

function row(entry: ParkedEntry, dueInMs: number | null, failure: DeliveryFailure | undefined): ParkedRow {
  return {
    seq: entry.seq,
    id: entry.id,
    state: entry.state,
    attempt: entry.attempt,
    in: dueInMs,
    code: failure?.code ?? null,
    error: failure?.message.slice(0, maxErrorLength) ?? null,
    fingerprint: failure ? failureFingerprint(failure.code, failure.message) : null,
  }
}
