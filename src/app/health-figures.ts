import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { type DispatcherFacts, dispatcherFacts } from '../outbox/inspect/dispatcher-facts.js'
import { type LaneReport, listLanes } from '../outbox/inspect/lane-list.js'

export interface Figures {
  readonly lanes: readonly LaneReport[]
  readonly facts: DispatcherFacts
}

/** However often it is asked, the database is asked no more than this often, ms. */
const freshMs = 5000
/** A probe must not hang with the database, ms. */
const patienceMs = 4000

/** What the database says of lanes and dispatchers, kept for five seconds; undefined when it can't be asked. */
export class FigureCache {
  readonly #pool: pg.Pool
  readonly #clock: Clock
  readonly #dispatcher: () => string | undefined
  #latest: { readonly at: number; readonly figures: Figures | undefined } | undefined
  #reading: Promise<Figures | undefined> | undefined

  constructor(pool: pg.Pool, clock: Clock, dispatcher: () => string | undefined) {
    this.#pool = pool
    this.#clock = clock
    this.#dispatcher = dispatcher
  }

  /** `onError` hears why, once for each time that the database was asked in vain. */
  async get(onError: (error: unknown) => void): Promise<Figures | undefined> {
    if (this.#latest && this.#clock.monotonic() - this.#latest.at < freshMs) return this.#latest.figures
    this.#reading ??= this.#read(onError).finally(() => (this.#reading = undefined))
    const patience = new AbortController()
    const late = this.#clock.sleep(patienceMs, patience.signal).then(() => undefined)
    return Promise.race([this.#reading, late]).finally(() => patience.abort())
  }

  async #read(onError: (error: unknown) => void): Promise<Figures | undefined> {
    let figures: Figures | undefined
    try {
      const lanes = await listLanes(this.#pool)
      figures = { lanes, facts: await dispatcherFacts(this.#pool, this.#dispatcher()) }
    } catch (error) {
      onError(error)
    }
    this.#latest = { at: this.#clock.monotonic(), figures }
    return figures
  }
}
