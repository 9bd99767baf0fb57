import type pg from 'pg'
import type { DeliveryFailure, Outcome } from '../../adapters/contract.js'
import type { BackoffSettings } from '../../core/backoff.js'
import type { Clock } from '../../core/clock.js'
import { type LaneFence, writePause } from '../../outbox/lane-store.js'
import type { DispatcherHooks, DispatcherLogger, LaneName } from '../hooks.js'
import { type DeliveryName, idOf } from '../lane/lane-parked.js'
import type { ParkedEntry } from '../lane/parked.js'
import type { Entry } from '../lane/window.js'
import { CulpritSearch, type Effects, type PauseKind, type Probe } from './culprit-search.js'
import { pauseReason } from './pause-reason.js'

export interface LanePauseOptions {
  readonly name: LaneName
  readonly fence: LaneFence
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  readonly hooks: DispatcherHooks
  readonly backoff: BackoffSettings
  /** Calls of the adapter side by side, and messages of one, at most. */
  readonly concurrency: number
  readonly maxBatch: number
  /** The lane's row says that it is paused. */
  readonly written: boolean
  readonly hook: (call: () => unknown) => void
}

/** An answer that says the destination is down. */
export type Down = Extract<Outcome, { kind: 'pause' | 'misconfigured' }>

/** What the search wants done. `convicted`: failures to charge. */
export interface Orders {
  readonly put?: 'back' | 'aside' | 'later' | undefined
  readonly convicted: readonly Suspicion[]
}

/** A message whose failure looks like an outage: kept until it is known which it was. */
export interface Suspicion {
  /** On the fast path: the entry holds its place there. */
  readonly entry: Entry | undefined
  readonly parked: ParkedEntry | undefined
  readonly message: { readonly seq: number; readonly id: string; readonly topic: string; readonly key: string | null }
  readonly failure: DeliveryFailure
  readonly retryAfterMs: number
  /** How long the answer took. */
  readonly ms: number
}

const noOrders: Orders = { convicted: [] }

/** A lane's pauses: the search for what is to blame, the messages that it suspects, and what the lane's row says of it. */
export class LanePause {
  readonly #o: LanePauseOptions
  readonly #search: CulpritSearch
  readonly #suspicions = new Map<string, Suspicion>()
  #written: boolean
  #full = false
  #refused = false
  #writing: Promise<unknown> = Promise.resolve()
  /** Suspects at which the row says how many there are next: each time twice as many, so that an outage writes little. */
  #sayAt = 0
  /** The kind that hooks heard of last. */
  #told: LanePause['kind'] | undefined
  /** What was to be said could not be written. */
  #unsaid = false

  constructor(options: LanePauseOptions) {
    this.#o = options
    this.#written = options.written
    const { concurrency, maxBatch, backoff } = options
    this.#search = new CulpritSearch({ concurrency, maxBatch, backoff })
  }

  /** The destination is down, as far as is known: nothing but probes is sent. */
  get active(): boolean {
    return this.#search.paused !== undefined
  }

  get kind(): PauseKind | 'refused' | 'parked_limit' | null {
    return this.#search.paused ?? (this.#refused ? 'refused' : this.#full ? 'parked_limit' : null)
  }

  /** Monotonic time of the next probe; Infinity while one is under way or none is needed. */
  get nextProbeAt(): number {
    return this.#search.nextProbeAt
  }

  get batchLimit(): number {
    return this.#search.batchLimit
  }

  /** Calls go one at a time. */
  get careful(): boolean {
    return this.#search.careful
  }

  /** It has lasted so long that it is worth a row for each further probe to read on. */
  get long(): boolean {
    return this.#search.long
  }

  /** Messages that failed and are neither settled nor convicted. */
  get suspects(): number {
    return this.#search.suspects
  }

  /** Gives the number of the send. */
  sent(entry: Entry): number {
    return this.#search.sent(this.#search.calm ? '' : idOf(entry.message))
  }

  /** The destination answered for the entry itself. */
  alive(entry: Entry, now: number): Orders {
    const { message, sentNo: no } = entry
    // names are made where messages must be told apart: two of them for each message were a fifth of a lane's time
    const id = this.#search.calm ? '' : idOf(message)
    if (id !== '') this.#suspicions.delete(id)
    const was = entry.parked?.convicted ? (entry.parked.code ?? undefined) : undefined
    return this.#orders(this.#search.succeeded({ id, topic: message.topic, no }, now, was))
  }

  /** The destination is down, says the answer for the entry. */
  down(entry: Entry, outcome: Down, size: number, now: number): Orders {
    const { message, parked } = entry
    const retryAfterMs = outcome.kind === 'pause' ? outcome.retryAfterMs : undefined
    const kind: PauseKind =
      outcome.kind === 'misconfigured' ? 'misconfigured' : retryAfterMs !== undefined ? 'throttled' : 'outage'
    const id = idOf(message)
    const { code } = outcome.failure
    // charged for it before: by this holder, or by one before it
    const convicted = parked !== undefined && parked.attempt > 0 && parked.code === code
    const before = this.#search.paused
    const failed = { id, topic: message.topic, no: entry.sentNo, kind, code, retryAfterMs, size, convicted }
    const effects = this.#search.failed(failed, now)
    if (effects.put !== 'back') {
      const { seq, topic, key } = message
      this.#suspicions.set(id, {
        ...{ entry: parked ? undefined : entry, parked, failure: outcome.failure },
        ...{ message: { seq, id: message.id, topic, key }, retryAfterMs: retryAfterMs ?? 0, ms: now - entry.sentAt },
      })
    }
    if (effects.change === 'paused') {
      const { logger, name } = this.#o
      logger.warn({ ...name, kind, code, message: message.id }, 'lane paused')
      this.#say(kind, outcome.failure)
    } else if (
      before !== undefined &&
      (this.#unsaid || this.#search.paused !== before || this.suspects >= this.#sayAt)
    ) {
      this.#say(this.#search.paused ?? kind, outcome.failure)
    }
    return this.#orders(effects)
  }

  /** Nothing can be sent, and nothing is under way: where suspects are left the lane waits for a message that tells more. */
  stall(now: number): void {
    if (!this.#search.stall(now)) return
    const [latest] = [...this.#search.suspectIds()].slice(-1)
    const suspicion = latest === undefined ? undefined : this.#suspicions.get(latest)
    if (suspicion) this.#say(this.#search.paused ?? 'outage', suspicion.failure)
  }

  /** What to probe with now: a place among `fresh`, or a suspect; undefined when it is not time. */
  probe(now: number, fresh: readonly (Entry | ParkedEntry)[]): Probe | undefined {
    const topics = fresh.map((each) => ({ topic: 'topic' in each ? each.topic : each.message.topic }))
    const probe = this.#search.probe(now, topics)
    // dropped by an operator, or settled otherwise: whatever comes next shows how things are
    if (!probe && fresh.length === 0 && now >= this.#search.nextProbeAt && this.#search.giveUp()) this.#resumed()
    return probe
  }

  probed(name: DeliveryName): void {
    this.#search.probed(idOf(name))
  }

  /** A suspect to send alone now, beside new messages. */
  trial(now: number): Suspicion | undefined {
    const id = this.#search.trial(now)
    return id === undefined ? undefined : this.#suspicions.get(id)
  }

  suspicion(id: string): Suspicion | undefined {
    return this.#suspicions.get(id)
  }

  /** It is written down as parked now, uncharged: the window may pass it, the search still holds it. */
  written(suspicion: Suspicion, parked: ParkedEntry): void {
    this.#suspicions.set(idOf(suspicion.message), { ...suspicion, entry: undefined, parked })
  }

  /** It is settled, or was not sent after all and will not be. */
  forget(name: DeliveryName): void {
    const id = idOf(name)
    this.#search.forget(id)
    this.#suspicions.delete(id)
  }

  /** It was to be sent and was not: it waits for its turn. */
  unsent(name: DeliveryName): void {
    this.#search.unsent(idOf(name))
  }

  /** Takes up suspects that are `gone`, as an operator dropped them. */
  prune(now: number, gone: (suspicion: Suspicion) => boolean): void {
    const pruned = [...this.#suspicions.values()].filter(gone)
    for (const { message } of pruned) this.forget(message)
    if (pruned.length > 0) this.#search.hurry(now)
  }

  mayGiveUp(code: string, topic: string, now: number): boolean {
    return this.#search.mayGiveUp(code, topic, now)
  }

  /** What the lane's row says is out of date: messages get through. */
  confirm(): void {
    if (this.#written && !this.active && !this.#full && !this.#refused) this.#write(null)
  }

  /** So many deliveries are parked that nothing more may be. */
  limit(full: boolean, parked: number): void {
    if (full === this.#full) return
    this.#full = full
    if (full) this.#write('parked_limit', `${parked} parked deliveries: retry or drop them, or raise maxParked`)
    else if (!this.active) this.#write(null)
  }

  /** The database does not take what the lane is to commit; null: it has taken it. */
  refused(reason: string | null): void {
    this.#refused = reason !== null
    if (reason !== null) this.#write('refused', reason)
    else if (!this.active && !this.#full) this.#write(null)
  }

  #orders({ put, convicted, change }: Effects): Orders {
    if (convicted.length === 0 && change === 'none' && put === undefined) return noOrders
    if (change === 'resumed') this.#resumed()
    const charged: Suspicion[] = []
    for (const id of convicted) {
      const suspicion = this.#suspicions.get(id)
      if (!suspicion) continue
      this.#suspicions.delete(id)
      charged.push(suspicion)
      const { logger, name } = this.#o
      const { code } = suspicion.failure
      logger.warn({ ...name, message: suspicion.message.id, code }, 'others get through: the message is at fault')
    }
    return { put, convicted: charged }
  }

  #resumed(): void {
    this.#o.logger.info({ ...this.#o.name }, 'lane goes on')
    this.#full = false // said again where it still holds
    this.#write(null)
  }

  #say(kind: PauseKind, failure: DeliveryFailure): void {
    const suspects = [...this.#suspicions.values()].filter(({ parked }) => parked?.convicted !== true)
    this.#sayAt = Math.max(2, 2 * suspects.length)
    this.#write(
      kind,
      pauseReason(
        failure,
        suspects.map(({ message }) => message.id),
      ),
    )
  }

  #write(kind: PauseKind | 'refused' | 'parked_limit' | null, reason = ''): void {
    const { pool, fence, hooks, name, hook, logger } = this.#o
    if (kind === null && !this.#written) return
    this.#written = kind !== null
    this.#unsaid = false
    // more suspects are no other pause
    if (kind !== this.#told)
      hook(() => (kind === null ? hooks.onResume?.(name) : hooks.onPause?.(name, { kind, reason })))
    this.#told = kind
    // one after another: two at once may arrive in the wrong order
    this.#writing = this.#writing
      .then(() => writePause(pool, fence, kind === null ? null : { kind, reason }))
      .catch((error: unknown) => {
        this.#written = true // said again with what comes next
        this.#unsaid = true
        logger.warn({ ...name, err: error }, 'could not write down whether the lane is paused')
      })
  }
}
