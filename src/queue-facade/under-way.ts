import { shapeOf } from '../core/shape.js'

/** How long `close` waits in all. */
const closeLimitMs = 10_000
/** Kinds of calls that a warning names. */
const named = 5

/** The calls of a queue that have not settled. */
export class UnderWay {
  /** By topic or method; counts, so that a call costs no object. */
  readonly #open = new Map<string, number>()
  #count = 0
  #idle: Promise<void> | undefined
  #onIdle: (() => void) | undefined

  /** Gives what is to be called once when the call has settled. */
  begin(what: unknown): () => void {
    const name = typeof what === 'string' ? what : shapeOf(what)
    this.#count++
    this.#open.set(name, (this.#open.get(name) ?? 0) + 1)
    return () => {
      const left = (this.#open.get(name) ?? 1) - 1
      if (left === 0) this.#open.delete(name)
      else this.#open.set(name, left)
      if (--this.#count === 0) this.#onIdle?.()
    }
  }

  /** Waits for all of them and then for `end`, but not for ever: warns of what has not settled. */
  async close(end: () => Promise<void>): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const limit = new Promise<'late'>((resolve) => (timer = setTimeout(resolve, closeLimitMs, 'late')))
    try {
      const settled = await Promise.race([this.#settled(), limit])
      if (settled === 'late') this.#warn()
      const ended = end()
      // a pool waits for its connections, which nobody may give back
      ended.catch(() => undefined)
      await Promise.race([ended, limit])
    } finally {
      clearTimeout(timer)
    }
  }

  async #settled(): Promise<void> {
    if (this.#count > 0) await (this.#idle ??= new Promise((resolve) => (this.#onIdle = resolve)))
  }

  #warn(): void {
    const what = [...this.#open].map(([name, count]) => (count === 1 ? name : `${name} (${count})`))
    if (what.length > named) what.splice(named, Infinity, `and ${what.length - named} more`)
    process.emitWarning(
      `queue.close() waited ${closeLimitMs / 1000} s and waits no longer; without an answer are: ${what.join(', ')}. Their transactions wait for a lock, or what was given as tx never answers`,
      { code: 'WAYBILL_PUBLISH_OPEN' },
    )
  }
}
