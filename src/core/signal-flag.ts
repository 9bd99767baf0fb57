import { longestTimerMs } from './clock.js'

/** Lets one loop wait for "something happened". Kicks before a wait are not lost; several kicks count as one. */
export class Kick {
  #set = false
  #resolve: (() => void) | undefined

  kick(): void {
    this.#set = true
    this.#resolve?.()
  }

  /** Resolves after a kick, or after `ms` where that is given. */
  wait(ms?: number): Promise<void> {
    return new Promise((resolve) => {
      let timer: NodeJS.Timeout | undefined
      const done = (): void => {
        if (timer) clearTimeout(timer)
        this.#resolve = undefined
        this.#set = false
        resolve()
      }
      if (this.#set) return done()
      this.#resolve = done
      if (ms !== undefined) timer = setTimeout(done, Math.max(0, Math.min(ms, longestTimerMs)))
    })
  }
}
