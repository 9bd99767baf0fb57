/** What a group needs of an exchange. */
export interface GroupMember {
  /** Where it stands in its group. */
  place: number
  /** When its time is up, by `performance.now`; Infinity while it has not begun. */
  readonly deadline: number
  abort(): void
  timedOut(): void
}

/**
 * The exchanges that one signal ends, and their time limit.
 *
 * Not a `Set`: a busy one is copied every few additions, and each copy that V8 has taken for long-lived keeps the next
 * alive, with all exchanges in it, until a full collection. Two such sets let four fifths of what an exchange allocates
 * (3 kB) outlive its time, which cost a sixth of this process's CPU time.
 *
 * One timer for all, set to the deadline that comes first: most exchanges are over long before theirs, and a timer for
 * each costs half of what its signature does.
 */
export class Group {
  readonly #timeoutMs: number
  readonly #members: GroupMember[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  add(exchange: GroupMember): void {
    exchange.place = this.#members.length
    this.#members.push(exchange)
    // no deadline comes sooner than a whole limit from now
    if (!this.#timer) this.#look(this.#timeoutMs)
  }

  remove(exchange: GroupMember): void {
    const last = this.#members.pop()
    if (!last || last === exchange) return
    last.place = exchange.place
    this.#members[last.place] = last
  }

  abort(): void {
    for (const exchange of [...this.#members]) exchange.abort()
  }

  #look(inMs: number): void {
    this.#timer = setTimeout(() => this.#timeOut(), inMs)
    // sockets keep the process; this one may go on for a while after the last exchange
    this.#timer.unref()
  }

  #timeOut(): void {
    const now = performance.now()
    for (const exchange of [...this.#members]) if (exchange.deadline <= now) exchange.timedOut()
    this.#timer = undefined
    if (this.#members.length === 0) return
    let next = now + this.#timeoutMs
    for (const { deadline } of this.#members) next = Math.min(next, deadline)
    this.#look(Math.max(1, next - now))
  }
}
