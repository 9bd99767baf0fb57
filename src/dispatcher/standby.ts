import type pg from 'pg'
import type { Clock } from '../core/clock.js'
import { Kick } from '../core/signal-flag.js'
import { type StandbyState, standbyState } from '../outbox/standby-store.js'
import { parseLsn } from '../outbox/tick.js'
import type { DispatcherLogger } from './hooks.js'

/** Is told why it waits when that takes long, and again now and then while it does. */
export type TellWaiter = (reason: string) => void

export interface StandbyOptions {
  readonly pool: pg.Pool
  readonly clock: Clock
  readonly logger: DispatcherLogger
  /** Its `application_name`. Where several bear it, all that stream are waited for. */
  readonly name: string
  /** Waiting for so long is told, ms. Default 5,000. */
  readonly patienceMs?: number
}

interface Waiting {
  readonly lsn: bigint
  readonly since: number
  readonly tell: TellWaiter
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
  told: { readonly reason: string; readonly at: number } | undefined
}

/** Between looks: a stand-by nearby answers within milliseconds; while it is away a look a second will do. */
const firstLookMs = 2
const longestLookMs = 1000
/** Who waits is told again: another pause of the lane may have come and gone meanwhile. */
const tellAgainMs = 10_000

/**
 * Waits until the named stand-by has the write-ahead log on its disk (`flush_lsn`) up to where a tick's messages lie. One
 * loop asks for all lanes of the dispatcher, and only while one of them waits. What was seen is not remembered: a
 * stand-by that was built anew stands further back.
 */
export class Standby {
  readonly #o: StandbyOptions
  readonly #patienceMs: number
  readonly #waiting = new Set<Waiting>()
  readonly #lookNow = new Kick()
  #loop: Promise<void> | undefined
  #stopped = false
  /** It was logged that the stand-by is waited for. */
  #away = false

  constructor(options: StandbyOptions) {
    this.#o = options
    this.#patienceMs = options.patienceMs ?? 5000
  }

  /** Resolves when it has flushed up to `lsn`. Rejects when the signal aborts, and when the database can't be asked. */
  flushed(lsn: string, signal: AbortSignal, tell: TellWaiter): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted || this.#stopped) return reject(new Error('aborted'))
      const end = (then: () => void): void => {
        this.#waiting.delete(waiting)
        signal.removeEventListener('abort', abort)
        then()
      }
      const waiting: Waiting = {
        lsn: parseLsn(lsn),
        since: this.#o.clock.monotonic(),
        tell,
        resolve: () => end(resolve),
        reject: (error) => end(() => reject(error instanceof Error ? error : new Error(String(error)))),
        told: undefined,
      }
      const abort = (): void => {
        waiting.reject(new Error('aborted'))
        this.#lookNow.kick() // nobody may be left to wait for
      }
      signal.addEventListener('abort', abort, { once: true })
      this.#waiting.add(waiting)
      if (!this.#away) this.#lookNow.kick()
      this.#loop ??= this.#run()
    })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#rejectAll(new Error('the dispatcher was stopped'))
    this.#lookNow.kick()
    await this.#loop
  }

  async #run(): Promise<void> {
    let wait = firstLookMs
    let waited = 0
    for (;;) {
      try {
        const state = await standbyState(this.#o.pool, this.#o.name)
        this.#release(state)
        this.#tell(state)
      } catch (error) {
        this.#rejectAll(error)
      }
      if (this.#waiting.size === 0) {
        this.#loop = undefined // at once: who comes to wait now starts another
        return
      }
      // others have come to wait: for them it may be a matter of moments
      if (this.#waiting.size > waited && !this.#away) wait = firstLookMs
      waited = this.#waiting.size
      await this.#lookNow.wait(wait)
      wait = Math.min(wait * 1.5, longestLookMs)
    }
  }

  #release({ flushed }: StandbyState): void {
    if (flushed === null) return
    const reached = parseLsn(flushed)
    const arrived = [...this.#waiting].filter(({ lsn }) => lsn <= reached)
    for (const { resolve } of arrived) resolve()
    const othersWait = [...this.#waiting].some(({ told }) => told)
    if (!this.#away || arrived.length === 0 || othersWait) return
    this.#away = false
    this.#o.logger.info({ standby: this.#o.name }, 'the stand-by has what is to be sent: lanes go on')
  }

  #tell(state: StandbyState): void {
    const { clock, logger, name } = this.#o
    const { streaming, flushed, behind } = state
    const now = clock.monotonic()
    const reason = reasonOf(name, state)
    for (const waiting of this.#waiting) {
      const { told, since, tell } = waiting
      if (now - since < this.#patienceMs) continue
      if (told?.reason === reason && now - told.at < tellAgainMs) continue
      waiting.told = { reason, at: now }
      tell(reason)
      if (!this.#away) logger.warn({ standby: name, streaming, flushed, behind }, `lanes wait: ${reason}`)
      this.#away = true
    }
  }

  #rejectAll(error: unknown): void {
    for (const waiting of [...this.#waiting]) waiting.reject(error)
  }
}

/** Without figures: it is written down once, not with each look. */
function reasonOf(name: string, { allowed, streaming }: StandbyState): string {
  const standby = `stand-by ${JSON.stringify(name)}`
  if (!allowed) {
    return `this role may not see how far ${standby} is: grant pg_read_all_stats to it (waybill migrate --roles)`
  }
  if (streaming === 0) return `${standby} does not stream: start it, or name another in dispatcher.durability`
  return `${standby} has not flushed yet what is to be sent`
}
