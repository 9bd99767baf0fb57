import { lookup, type LookupAddress } from 'node:dns'

/** One that waits for its turn; false: its time was up, and it is not looked up any more. */
interface Waiting {
  alive: boolean
  begin(): void
}

/**
 * The C library's look-up, for names that only the system knows (mDNS, LDAP, what nsswitch.conf adds), **one at a time**:
 * it holds one of libuv's threads for as long as it likes, which no one can end, and libuv gives look-ups half of them.
 */
export class SystemLookup {
  readonly #look: typeof lookup
  readonly #waiting: Waiting[] = []
  #busy = false

  constructor(look: typeof lookup = lookup) {
    this.#look = look
  }

  /** Addresses in the system's order; undefined when there was none in time. Rejects with what the system said. */
  find(name: string, limitMs: number): Promise<readonly LookupAddress[] | undefined> {
    return new Promise((resolve, reject) => {
      const turn: Waiting = {
        alive: true,
        begin: () => {
          this.#busy = true
          this.#look(name, { all: true }, (error, addresses) => {
            clearTimeout(timer)
            this.#next()
            if (error) reject(error)
            else resolve(addresses)
          })
        },
      }
      const timer = setTimeout(() => {
        turn.alive = false
        resolve(undefined)
      }, limitMs)
      if (this.#busy) this.#waiting.push(turn)
      else turn.begin()
    })
  }

  #next(): void {
    this.#busy = false
    let next = this.#waiting.shift()
    while (next && !next.alive) next = this.#waiting.shift()
    next?.begin()
  }
}
