import type pg from 'pg'
import { type Adapter, type Outcome, isTransactional } from '../../adapters/contract.js'
import type { Clock } from '../../core/clock.js'
import { Answers } from './answers.js'
import type { DispatcherLogger, LaneName } from '../hooks.js'
import type { LanePause } from '../pause/lane-pause.js'
import type { LaneCommits } from './lane-commits.js'
import type { LaneOutcomes } from './lane-outcomes.js'
import { sendBatch, sendInTransaction } from './send.js'
import { traceDeliveries } from '../trace-deliveries.js'
import type { Entry } from './window.js'

export interface LaneCallsOptions {
  readonly name: LaneName
  readonly adapter: Adapter
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly outcomes: LaneOutcomes
  readonly commits: LaneCommits
  readonly pause: LanePause
  /** Aborts the calls under way; what they have not settled is nobody's business any more. */
  readonly signal: AbortSignal
  readonly fail: (error: unknown) => void
  /** A call has ended. */
  readonly onEnd: () => void
}

/** A lane's calls of its adapter: how many there may be, what each of them settles, and what it leaves when it ends. */
export class LaneCalls {
  readonly #o: LaneCallsOptions
  readonly #answers = new Answers()
  readonly #most: number
  #running = 0
  #retrying = 0
  #preparing = 0
  /** One that may take others along is under way. */
  #alone = false

  constructor(options: LaneCallsOptions) {
    this.#o = options
    const { ordered, transactional, concurrency } = options.adapter.capabilities
    this.#most = ordered || transactional ? 1 : concurrency
  }

  get idle(): boolean {
    return this.#running === 0
  }

  /** Nothing is under way but retries of parked deliveries. */
  get onlyRetries(): boolean {
    return this.#running - this.#preparing <= this.#retrying
  }

  get room(): number {
    if (this.#alone) return 0
    return (this.#o.pause.careful ? 1 : this.#most) - this.#running
  }

  /** There is never more than one call. */
  get single(): boolean {
    return this.#most === 1
  }

  /** Retries have half of the calls, so that new messages get through beside them. */
  get roomForRetries(): number {
    return Math.min(Math.ceil(this.#most / 2) - this.#retrying, this.room)
  }

  /** No call begins beside the one that `work` makes. */
  async alone(work: Promise<Entry[]>): Promise<Entry[]> {
    this.#alone = true
    try {
      return await this.preparing(work)
    } finally {
      this.#alone = false
    }
  }

  /** What reads messages in order to send them counts as a call, which keeps the lane from ending meanwhile. */
  async preparing<T>(work: Promise<T>): Promise<T> {
    this.#running++
    this.#preparing++
    try {
      return await work
    } finally {
      this.#running--
      this.#preparing--
    }
  }

  /** `alone`: no other call begins beside it. */
  begin(batch: Entry[], alone = false): void {
    const { adapter, clock, logger, name, pool, commits, outcomes, pause, signal } = this.#o
    const now = clock.monotonic()
    let retried = 0
    for (const entry of batch) {
      entry.state = 'sending'
      entry.sentAt = now
      entry.sentNo = pause.sent(entry)
      if (entry.parked) retried++
    }
    this.#answers.sent(batch.length)
    this.#running++
    this.#retrying += retried
    if (alone) this.#alone = true
    let settled = 0
    const trace = traceDeliveries(name.destination, adapter.kind, batch)
    const settle = (entry: Entry, outcome: Outcome): void => {
      settled++
      trace?.settled(entry, outcome)
      this.#answers.came(entry, outcome, clock.monotonic())
      outcomes.outcome(entry, outcome, batch.length)
    }
    const work = isTransactional(adapter)
      ? commits.inTransaction((write) => sendInTransaction({ adapter, pool, batch, settle, write }))
      : sendBatch(adapter, batch, { signal, settle })
    const ended = (): void => {
      this.#running--
      this.#retrying -= retried
      if (alone) this.#alone = false
      trace?.end()
      if (settled < batch.length) {
        this.#answers.lost(batch.length - settled)
        const left = batch.filter((entry) => entry.state === 'sending')
        if (!signal.aborted) outcomes.unanswered(left, batch.length)
      }
      this.#o.onEnd()
    }
    work.then(ended, (error: unknown) => {
      if (isTransactional(adapter)) this.#o.fail(error)
      else if (!signal.aborted) logger.error({ ...name, err: error }, 'adapter failed')
      ended()
    })
  }

  /** Whether others get through while a message that was sent at `since` waits, by what came within `withinMs`. */
  othersGetThrough(since: number, withinMs: number): boolean {
    return this.#answers.getThrough(since, this.#o.clock.monotonic(), { few: this.#most, withinMs })
  }
}
