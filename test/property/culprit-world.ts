import fc from 'fast-check'
import { CulpritSearch, type PauseKind } from '../../src/dispatcher/pause/culprit-search.js'

export interface Outage {
  readonly from: number
  readonly ms: number
  readonly kind: PauseKind
}

export interface Case {
  /** Keys of the messages in the order of the log; null: none. */
  readonly keys: readonly (number | null)[]
  readonly topics: number
  /** Places in the log, and how each fails. */
  readonly bad: readonly { readonly at: number; readonly kind: PauseKind; readonly code: number }[]
  readonly byKey: boolean
  readonly concurrency: number
  readonly maxBatch: number
  /** A batch fails as a whole when one of it is bad, as where the connection is lost. */
  readonly sharedFate: boolean
  readonly outages: readonly Outage[]
  readonly seed: number
}

const kind = fc.constantFrom<PauseKind>('outage', 'misconfigured', 'throttled')

export const anOutage: fc.Arbitrary<Outage> = fc.record({
  from: fc.integer({ min: 0, max: 400 }),
  // longer than a call: one that a single request met, among others that got through, is that message's own
  ms: fc.integer({ min: 50, max: 3000 }),
  kind,
})

export const aCase: fc.Arbitrary<Case> = fc
  .record({
    keys: fc.array(fc.option(fc.nat({ max: 12 }), { freq: 2 }), { minLength: 3, maxLength: 80, size: 'max' }),
    topics: fc.integer({ min: 1, max: 3 }),
    bad: fc.uniqueArray(fc.record({ at: fc.nat({ max: 79 }), kind, code: fc.nat({ max: 2 }) }), {
      maxLength: 60,
      selector: ({ at }) => at,
      size: 'max',
    }),
    byKey: fc.boolean(),
    concurrency: fc.constantFrom(1, 2, 4, 16),
    maxBatch: fc.constantFrom(1, 1, 8, 64),
    sharedFate: fc.boolean(),
    seed: fc.nat(),
  })
  .map((given) => ({ ...given, bad: given.bad.filter(({ at }) => at < given.keys.length), outages: [] }))

interface Message {
  readonly id: string
  readonly n: number
  readonly topic: string
  readonly key: number | null
  readonly bad: { readonly kind: PauseKind; readonly code: number } | undefined
  state: 'ready' | 'sending' | 'suspect' | 'parked' | 'delivered'
  no: number
  charged: number
  dueAt: number
}

interface Call {
  readonly batch: Message[]
  readonly at: number
  readonly ends: number
  readonly probe: boolean
}

/** A destination and the least of a lane around the search: queue, calls, time. Nothing else decides what is sent. */
export class World {
  static readonly capMs = 500
  readonly overtaken: string[] = []
  readonly charged: Message[] = []
  readonly waits: { asked: number; waited: number }[] = []
  probes = 0
  mostProbes = 0
  failuresOfBad = 0
  suspectsWhenUp = 0
  readonly #given: Case
  readonly #search: CulpritSearch
  readonly #messages: Message[]
  #calls: Call[] = []
  #now = 0
  #random: number
  #new = false
  #asked: { at: number; ms: number } | undefined

  constructor(given: Case) {
    this.#given = given
    this.#random = given.seed
    const bad = new Map(given.bad.map((each) => [each.at, each]))
    this.#messages = given.keys.map((key, n) => ({
      ...{ id: `m${n}`, n, topic: `t${n % given.topics}`, key, bad: bad.get(n), state: 'ready' as const },
      ...{ no: 0, charged: 0, dueAt: 0 },
    }))
    this.#search = new CulpritSearch({
      concurrency: given.concurrency,
      maxBatch: given.maxBatch,
      backoff: { baseMs: 20, capMs: World.capMs },
      random: () => this.#draw(),
    })
  }

  get bad(): number {
    return this.#given.bad.length
  }

  /** What `docs/architecture.md` says of the probes that a destination that is up gets. */
  get promised(): number {
    return (
      3 * (this.bad + 1) +
      (this.#given.maxBatch > 1 ? this.bad * (Math.ceil(Math.log2(this.#given.maxBatch)) + 1) : 0) +
      this.bad
    )
  }

  get promisedFailures(): number {
    return 60 * (this.bad + 1)
  }

  /** Good messages that were not delivered, but for those behind a bad one of their key. */
  missing(): string[] {
    const held = new Set<number>()
    const missing: string[] = []
    for (const { id, key, bad, state } of this.#messages) {
      if (bad && this.#given.byKey && key !== null) held.add(key)
      const waits = this.#given.byKey && key !== null && held.has(key)
      if (!bad && !waits && state !== 'delivered') missing.push(id)
    }
    return missing
  }

  chargedTimes(): number[] {
    return this.#messages.map(({ charged }) => charged)
  }

  run(): void {
    for (let steps = 0; steps < 20_000 && this.#step(); steps++);
  }

  #draw(): number {
    this.#random = (this.#random * 1103515245 + 12345) % 2 ** 31
    return this.#random / 2 ** 31
  }

  get #careful(): boolean {
    return this.#given.maxBatch > 1
  }

  // One moment: answers that are due come in, then as much is sent as may be. False: nothing is left to wait for.
  #step(): boolean {
    const due = this.#calls.filter(({ ends }) => ends <= this.#now)
    this.#calls = this.#calls.filter((call) => !due.includes(call))
    for (const call of due) this.#answer(call)
    this.#send()
    if (this.missing().length === 0 && this.#calls.length === 0) return false
    const times = [...this.#calls.map(({ ends }) => ends), this.#search.nextProbeAt]
    for (const { state, dueAt } of this.#messages) if (state === 'parked') times.push(dueAt)
    const next = Math.min(...times.filter((at) => at > this.#now))
    this.#now = Number.isFinite(next) ? next : this.#now + 10
    return this.#now < 600_000
  }

  #outageAt(at: number): Outage | undefined {
    let from = 0
    for (const outage of this.#given.outages) {
      from += outage.from
      if (at >= from && at < from + outage.ms) return outage
      from += outage.ms
    }
    return undefined
  }

  #answer({ batch, at }: Call): void {
    const outage = this.#outageAt(at)
    const poisoned = this.#given.sharedFate && batch.some(({ bad }) => bad)
    const lost = new Set<number>()
    for (const message of batch) {
      const { key, bad } = message
      if (this.#given.byKey && key !== null && lost.has(key)) {
        message.state = 'ready' // behind one of its key that failed
        continue
      }
      const why = outage
        ? { kind: outage.kind, code: 9 }
        : (bad ?? (poisoned ? { kind: 'outage' as const, code: 8 } : undefined))
      if (!why) this.#succeeded(message)
      else {
        if (key !== null) lost.add(key)
        if (bad) this.failuresOfBad++
        this.#failed(message, why, batch.length)
      }
    }
  }

  #succeeded(message: Message): void {
    message.state = 'delivered'
    const { id, topic, no, charged } = message
    const { convicted } = this.#search.succeeded(
      { id, topic, no },
      this.#now,
      charged > 0 ? `E${message.bad?.code ?? 9}` : undefined,
    )
    this.#charge(convicted)
  }

  #failed(message: Message, { kind, code }: { kind: PauseKind; code: number }, size: number): void {
    const { id, topic, no, charged } = message
    const retryAfterMs = kind === 'throttled' ? 700 : undefined
    const before = this.#search.nextProbeAt
    const { put, convicted } = this.#search.failed(
      { id, topic, no, kind, code: `E${code}`, retryAfterMs, size, convicted: charged > 0 },
      this.#now,
    )
    if (retryAfterMs !== undefined && this.#search.nextProbeAt !== before && this.#search.paused)
      this.#asked = { at: this.#now, ms: retryAfterMs }
    message.state = put === 'back' ? 'ready' : put === 'aside' ? 'suspect' : 'parked'
    message.dueAt = this.#now + 1000
    this.#charge(convicted)
  }

  #charge(ids: readonly string[]): void {
    for (const id of ids) {
      const message = this.#messages[Number(id.slice(1))] as Message
      if (message.state === 'sending') continue
      message.charged++
      message.state = 'parked'
      message.dueAt = this.#now + 1000
      this.charged.push(message)
    }
  }

  // Ready, and the first of its key that is not delivered, where order matters.
  #ready(): Message[] {
    const seen = new Set<number>()
    return this.#messages.filter(({ state, key }) => {
      if (state === 'delivered') return false
      const first = !this.#given.byKey || key === null || !seen.has(key)
      if (key !== null) seen.add(key)
      return first && state === 'ready'
    })
  }

  #send(): void {
    const { concurrency } = this.#given
    if (this.#search.paused) return this.#probe()
    const room = (): number => (this.#search.careful ? 1 : concurrency) - this.#calls.length
    for (;;) {
      if (this.#search.paused || room() <= 0) return
      const trial = this.#search.trial(this.#now)
      const again = this.#messages.find(({ state, dueAt }) => state === 'parked' && dueAt <= this.#now)
      const old = trial === undefined ? again : this.#messages[Number(trial.slice(1))]
      const ready = this.#ready()
      if (old && (!this.#new || ready.length === 0)) {
        if (this.#careful && this.#calls.length > 0) return
        this.#new = true
        this.#call([old], false)
        if (this.#careful) return
      } else if (ready.length > 0) {
        this.#new = false
        this.#call(ready.slice(0, Math.min(this.#given.maxBatch, this.#search.batchLimit)), false)
      } else break
    }
    if (this.#calls.length === 0 && this.#search.stall(this.#now)) this.#probe()
  }

  #probe(): void {
    if (this.#calls.length >= this.#given.concurrency) return
    const first = this.#ready()
    const due = this.#messages.filter(({ state, dueAt }) => state === 'parked' && dueAt <= this.#now)
    const ready = first.length > 0 ? first : due
    const probe = this.#search.probe(this.#now, ready)
    if (!probe) return void (ready.length === 0 && this.#search.giveUp())
    const message =
      'fresh' in probe ? (ready[probe.fresh] as Message) : (this.#messages[Number(probe.suspect.slice(1))] as Message)
    this.#search.probed(message.id)
    if (this.#asked) this.waits.push({ asked: this.#asked.ms, waited: this.#now - this.#asked.at })
    this.#asked = undefined
    if (!this.#outageAt(this.#now) && message.charged === 0) this.probes++
    this.#call([message], true)
    this.mostProbes = Math.max(this.mostProbes, this.#calls.filter((call) => call.probe).length)
  }

  #call(batch: Message[], probe: boolean): void {
    for (const message of batch) {
      const { key, n } = message
      const earlier = this.#messages.slice(0, n).filter((other) => other.key === key && other.state !== 'delivered')
      if (this.#given.byKey && key !== null && earlier.some((other) => !batch.includes(other)))
        this.overtaken.push(message.id)
      message.state = 'sending'
      message.no = this.#search.sent(message.id)
    }
    this.#calls.push({ batch, at: this.#now, ends: this.#now + 1 + Math.floor(this.#draw() * 9), probe })
  }
}
