import type { Clock } from '../core/clock.js'
import { Kick } from '../core/signal-flag.js'

export interface HeartbeatOptions {
  readonly clock: Clock
  /** Milliseconds until the next beat; asked after each. */
  readonly waitMs: () => number
  readonly beat: () => Promise<void>
  readonly onFailed: (error: unknown) => void
  /** While it says so nobody is made to wait for a beat. */
  readonly stopping: () => boolean
}

const retryMs = 250

/** Beats on and on, and sooner when it is kicked or the last beat failed. */
export class Heartbeat {
  readonly #o: HeartbeatOptions
  readonly #now = new Kick()
  readonly #waiting = new Set<() => void>()
  #failed = false
  #over = false

  constructor(options: HeartbeatOptions) {
    this.#o = options
  }

  kick(): void {
    this.#now.kick()
  }

  /** Resolves when it has been ended; a beat that is under way is waited for. */
  async run(): Promise<void> {
    const { clock, waitMs, beat, onFailed } = this.#o
    for (;;) {
      await this.#now.wait(this.#failed ? retryMs : waitMs())
      if (this.#over) return
      try {
        await beat()
        this.#failed = false
      } catch (error) {
        this.#failed = true
        onFailed(error)
        await clock.sleep(retryMs)
      }
    }
  }

  end(): void {
    this.#over = true
    this.#now.kick()
  }

  /** The database has answered. */
  wentThrough(): void {
    for (const done of [...this.#waiting]) done()
  }

  /** Resolves after the next beat that goes through, or when it is all over. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done)
        clearInterval(timer)
        resolve()
      }
      const timer = setInterval(() => (this.#o.stopping() ? done() : this.#now.kick()), retryMs)
      this.#waiting.add(done)
    })
  }
}
