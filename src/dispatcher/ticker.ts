import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { WaybillError } from '../core/errors.js'
import { Kick } from '../core/signal-flag.js'
import { fallAsleep, wakeUp } from '../outbox/dispatcher-store.js'
import { parseSnapshot } from '../outbox/snapshot.js'
import { type TakenTick, glance, takeTick, whenDurable } from '../outbox/tick.js'
import { LookPace } from './look-pace.js'
import type { Standby, TellWaiter } from './standby.js'

export interface TickerSettings {
  /** Wait between looks at the log while it moves, ms, at least. Grows up to `idleMs` while it does not. */
  readonly busyMs: number
  readonly idleMs: number
  /** Fall asleep when the log has not moved for so long, ms. */
  readonly sleepAfterMs: number
}

export const defaultTickerSettings: TickerSettings = { busyMs: 4, idleMs: 50, sleepAfterMs: 1000 }
/**
 * Seqs that a floor may lie below the sequence for a tick to do without a probe. So many rows more, at most, are looked at by
 * the delta that starts there, each for 0.1 to 0.4 µs; a probe takes 500, most of it planning.
 */
const nearSeqs = 1000

/** Longest wait while nothing wakes us: a transaction that looked before we fell asleep, or no listener at all. */
const maxPollMs = 1000

/** How far the sequence had come, in one incarnation. */
export interface Reached {
  readonly nonce: string
  readonly drawn: number
}

/** A tick that the lanes of one dispatcher share. */
export interface SharedTick extends TakenTick {
  /** Counts up: a tick with a greater number was taken later. */
  readonly number: number
  /** Resolves when everything it sees is on disk here. Looked at once for all lanes. */
  durable(): Promise<void>
  /**
   * Resolves when what it sees may be sent: it is on disk here, and at the stand-by where one is waited for. `tell` is
   * called when that takes long; it rejects when `signal` aborts meanwhile.
   */
  safe(signal: AbortSignal, tell: TellWaiter): Promise<void>
}

/**
 * Takes the ticks for all lanes of a dispatcher. Polling is the truth: adaptive while awake, off while asleep, when
 * publishers notify. Falling asleep says so first and then polls on until every transaction that was running has ended.
 */
export class Ticker {
  readonly #pool: pg.Pool
  readonly #clock: Clock
  readonly #settings: TickerSettings
  readonly #waiters = new Set<{ resolve: (tick: SharedTick) => void; reject: (error: unknown) => void; seen: number }>()
  readonly #pace: LookPace
  readonly #onState: () => void
  readonly #standby: Standby | undefined
  readonly #waited = new Kick()
  readonly #lookNow = new Kick()
  #latest: SharedTick | undefined
  /** Of the latest look. */
  #snapshot = ''
  /** The latest look saw the log move. */
  #moving = false
  #listening = false
  #asleep = false
  #stopped = false
  #notified: string | undefined
  #loop: Promise<void> | undefined
  #taking: Promise<unknown> = Promise.resolve()
  #number = 0
  /** The greatest seq that was read since the last reset: a floor that needs no probe. */
  #read = 0
  #resets = 0
  /** Number of the last tick before the last reset. */
  #resetAt = 0
  /** The greatest `drawn` of one incarnation: no reset makes the sequence go back. */
  #reached: Reached | undefined

  /**
   * `onState`: called when it wakes, and when it sleeps so soundly that only publishers' notifications wake it. `standby`:
   * must have what a tick sees before that is sent.
   */
  constructor(
    pool: pg.Pool,
    clock: Clock,
    settings: TickerSettings = defaultTickerSettings,
    onState: () => void = () => undefined,
    standby?: Standby,
  ) {
    this.#onState = onState
    this.#standby = standby
    this.#pool = pool
    this.#clock = clock
    this.#settings = settings
    this.#pace = new LookPace(settings.busyMs)
  }

  get latest(): SharedTick | undefined {
    return this.#latest
  }

  get asleep(): boolean {
    return this.#asleep
  }

  /** What the sequence must have come to, in one incarnation. */
  get reached(): Reached | undefined {
    return this.#reached
  }

  /** The sequence was mended: it may have begun below what was drawn before. */
  forgetReached(): void {
    this.#reached = undefined
  }

  /** Whether notifications arrive; without them the ticker never sleeps for longer than a second. */
  setListening(listening: boolean): void {
    if (this.#listening === listening) return
    this.#listening = listening
    this.#lookNow.kick()
  }

  start(): void {
    this.#loop ??= this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#waited.kick()
    this.#lookNow.kick()
    this.#rejectAll(new Error('the ticker was stopped'))
    await Promise.all([this.#loop, this.#standby?.stop()])
  }

  /** A notification came; `ticket` is what it named. */
  notify(ticket: string): void {
    this.#notified = ticket
    this.#lookNow.kick()
  }

  /** The log may have moved: look now. */
  look(): void {
    this.#lookNow.kick()
  }

  /**
   * Throws away what is known: the next tick starts from the database. One that is under way does so too, and a sleep ends: it
   * may have been said to another server.
   */
  reset(): void {
    this.#forget()
    if (this.#asleep) this.#lookNow.kick()
  }

  #forget(): void {
    this.#latest = undefined
    this.#read = 0
    this.#resets++
    this.#resetAt = this.#number
  }

  /** A message of this seq was read that `tick` sees. */
  noteRead(tick: SharedTick, seq: number): void {
    if (tick.number > this.#resetAt && seq > this.#read) this.#read = seq
  }

  /**
   * A tick later than number `seen`; waits until there may be something new. Rejects when the database can't be asked.
   */
  next(seen: number, signal: AbortSignal): Promise<SharedTick> {
    if (this.#latest && this.#latest.number > seen) return Promise.resolve(this.#latest)
    return new Promise((resolve, reject) => {
      const waiter = { resolve: settle(resolve), reject: settle(reject), seen }
      const abort = (): void => waiter.reject(new Error('aborted'))
      const waiters = this.#waiters
      function settle<T>(then: (value: T) => void): (value: T) => void {
        return (value) => {
          waiters.delete(waiter)
          signal.removeEventListener('abort', abort)
          then(value)
        }
      }
      if (signal.aborted) return abort()
      signal.addEventListener('abort', abort, { once: true })
      this.#waiters.add(waiter)
      this.#waited.kick()
    })
  }

  /**
   * Takes a tick now, whether or not anything seems new, and hands it to everybody who waits: for a lane that starts
   * from a position which somebody else may have stored after our latest tick, and for `drain`.
   */
  async fresh(): Promise<SharedTick> {
    const tick = await this.#take()
    this.#hand(tick)
    return tick
  }

  // One after another: a later number is a later snapshot.
  #take(): Promise<SharedTick> {
    const taken = this.#taking.then(async () => {
      const tick = await this.#takeOfNow()
      let onDisk = tick.flushed ? Promise.resolve() : undefined
      const durable = (): Promise<void> => (onDisk ??= whenDurable(this.#pool, tick))
      let arrived = this.#standby === undefined
      const safe = async (signal: AbortSignal, tell: TellWaiter): Promise<void> => {
        await durable() // a stand-by is sent nothing else
        if (!arrived) await this.#standby?.flushed(tick.lsn, signal, tell)
        arrived = true
      }
      return { ...tick, number: ++this.#number, durable, safe }
    })
    this.#taking = taken.catch(() => undefined)
    return taken
  }

  // A floor is of the server that it was taken on. It was fixed before the wait for a connection: where that outlived a failover,
  // what the promoted server gave the seqs below it to was read by nobody (387 of 601).
  async #takeOfNow(): Promise<TakenTick> {
    for (;;) {
      const resets = this.#resets
      const known = this.#latest
      const tick = await this.#takeNear()
      if (resets !== this.#resets) continue
      if (known && known.nonce !== tick.nonce) {
        this.#forget()
        continue
      }
      this.#compare(tick)
      return tick
    }
  }

  // The sequence goes back where somebody sets it back. What is drawn then lies below what lanes have read.
  #compare({ nonce, drawn }: TakenTick): void {
    if (nonce === null) return
    if (this.#reached?.nonce === nonce && drawn < this.#reached.drawn) {
      this.#forget()
      throw new WaybillError(
        'WAYBILL_SEQUENCE_BEHIND',
        `waybill.message_seq stands at ${drawn}, and ${this.#reached.drawn} was drawn: it was set back`,
      )
    }
    this.#reached = { nonce, drawn }
  }

  // Every row that was read is visible: of what a probe would find, it is the part that is known. Where it lies far below the
  // sequence (a burst, or lanes that lag) the probe is worth it.
  async #takeNear(): Promise<TakenTick> {
    const last = this.#latest
    const floor = Math.max(last?.floor ?? 0, this.#read)
    if (last && last.drawn - floor <= nearSeqs) {
      const tick = await takeTick(this.#pool, floor, false)
      if (tick.drawn - floor <= nearSeqs) return tick
    }
    return takeTick(this.#pool, floor)
  }

  #hand(tick: SharedTick): void {
    if (tick.number > (this.#latest?.number ?? this.#resetAt)) this.#latest = tick
    for (const waiter of [...this.#waiters]) if (waiter.seen < tick.number) waiter.resolve(tick)
  }

  async #run(): Promise<void> {
    let wait = this.#settings.busyMs
    let movedAt = this.#clock.monotonic()
    while (!this.#stopped) {
      if (this.#waiters.size === 0) {
        await this.#waited.wait()
        continue
      }
      try {
        const now = this.#clock.monotonic()
        if (await this.#look()) {
          movedAt = now
          wait = this.#pace.waitAfter(this.#clock.monotonic() - now)
        } else if (this.#listening && now - movedAt >= this.#settings.sleepAfterMs) {
          await this.#sleep()
          movedAt = this.#clock.monotonic()
          wait = this.#settings.busyMs
        } else {
          wait = Math.min(wait * 1.5, this.#listening || now - movedAt < 5000 ? this.#settings.idleMs : maxPollMs)
        }
      } catch (error) {
        this.#forget()
        this.#rejectAll(error)
        wait = this.#settings.idleMs
      }
      await this.#lookNow.wait(wait)
    }
  }

  /**
   * Looks whether there may be something new, and hands a tick to the waiters when there is. Resolves to whether the log
   * moved; a transaction of somebody else that ended is a reason to read, not a sign of traffic. A look that finds nothing
   * costs one statement and no xid, however long others hold transactions open. Where something is to be expected (a
   * notification, or the log moved just now) the glance before the tick is left out.
   */
  async #look(): Promise<boolean> {
    const last = this.#latest
    const ticket = this.#notified
    this.#notified = undefined
    const expected = ticket !== undefined || this.#moving
    this.#moving = false
    try {
      if (last && !expected) {
        const seen = await glance(this.#pool)
        this.#snapshot = seen.snapshot
        // another server's answer hides nothing, nor does a sequence that went back
        const same = seen.nonce === last.nonce && seen.drawn === last.drawn
        if (same && !stragglersEnded(last.snapshot, seen.snapshot)) return false
      }
      const tick = await this.#take()
      this.#snapshot = tick.snapshot
      const moved = last === undefined || last.nonce !== tick.nonce || tick.ceiling > last.drawn
      this.#moving = moved
      const told = ticket !== undefined
      if (moved || told || stragglersEnded(last.snapshot, tick.snapshot)) this.#hand(tick)
      return moved
    } finally {
      // after the tick, which matters more
      if (ticket !== undefined) this.#answer(ticket)
    }
  }

  // Says so first; then polls until every transaction that was running has ended, for one that looked before and commits
  // after wakes nobody; then waits for a notification or a heartbeat that sees the log move.
  async #sleep(): Promise<void> {
    this.#asleep = true
    try {
      const { xmax } = await fallAsleep(this.#pool)
      let ended = false
      const resets = this.#resets
      for (
        let wait = 10;
        this.#listening && !this.#stopped && resets === this.#resets;
        wait = Math.min(wait * 2, maxPollMs)
      ) {
        const notified = this.#notified !== undefined
        if ((await this.#look()) || notified) return
        if (!ended && parseSnapshot(this.#snapshot).xmin >= BigInt(xmax)) {
          ended = true
          this.#onState()
        }
        await this.#lookNow.wait(ended ? undefined : wait)
      }
    } finally {
      this.#asleep = false
      this.#onState()
    }
  }

  // Not waited for: a failure here only makes publishers notify once more.
  #answer(ticket: string): void {
    if (/^\d+$/.test(ticket)) wakeUp(this.#pool, ticket).catch(() => undefined)
  }

  #rejectAll(error: unknown): void {
    for (const waiter of [...this.#waiters]) waiter.reject(error)
  }
}

/** Whether any transaction that was running in `before` has ended in `after`. */
function stragglersEnded(before: string, after: string): boolean {
  const still = new Set(parseSnapshot(after).running)
  return parseSnapshot(before).running.some((xid) => !still.has(xid))
}
