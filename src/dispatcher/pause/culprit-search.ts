import { type BackoffSettings, backoffDelay } from '../../core/backoff.js'
import { KnownFailures } from './known-failures.js'
import { probePlace } from './probe-order.js'

/** Why a lane stands still, as far as its destination's answers say. */
export type PauseKind = 'outage' | 'throttled' | 'misconfigured'

export interface SearchSettings {
  /** Calls side by side, at most. */
  readonly concurrency: number
  /** Messages of a call, at most. */
  readonly maxBatch: number
  readonly backoff: BackoffSettings
  readonly random?: () => number
}

/** A message that was sent. `no`: the number that `sent` gave it. */
export interface Answered {
  readonly id: string
  readonly topic: string
  readonly no: number
}

/** An answer that says the destination is down, or that nothing gets through. */
export interface Failed extends Answered {
  readonly kind: PauseKind
  readonly code: string
  readonly retryAfterMs: number | undefined
  /** Messages in its call: of several nothing is known but that one of them may be to blame. */
  readonly size: number
  /** It is parked, and has been charged for this failure before. */
  readonly convicted: boolean
}

/**
 * What is to be done. Of the message itself: `back` sends it again in its turn, `aside` keeps it (a suspect: it is sent
 * when the search asks for it), `later` tries it again after its own backoff. `convicted`: these are charged.
 */
export interface Effects {
  readonly put?: 'back' | 'aside' | 'later'
  readonly convicted: readonly string[]
  readonly change: 'paused' | 'resumed' | 'none'
}

/** What to probe with: a place in the list that was given, or a suspect. */
export type Probe = { readonly fresh: number } | { readonly suspect: string }

interface Suspect {
  readonly id: string
  topic: string
  kind: PauseKind
  code: string
  /** Of the send that failed last. */
  no: number
  /** Monotonic time before which it asked not to be sent. */
  notBefore: number
  /** Another got through that was sent no earlier than one of its failures: the next failure may convict it. */
  confirmed: boolean
  /** Its latest failure convicts it as soon as another gets through. `topic`: unless that is of its own topic. */
  accused: 'retried' | 'topic' | undefined
  trying: boolean
}

interface Pause {
  kind: PauseKind
  /** Of the send that began it. */
  readonly no: number
  /** Answered since, of those sent no earlier: how many got through, and how many did not. */
  passed: number
  failed: number
  /** The first probe goes at once, if it is another message's. */
  eager: boolean
  /** Sent so far. */
  probes: number
}

/** Suspects that are tried, or wait for a verdict, at once: what a destination that flaps may have charged falsely. */
const mostTrials = 4
/** So many must get through beside each failure before a pause ends without a probe. */
const quorum = 3
/** Probes of a pause before anything is written for its sake: at the default backoff some eight minutes. */
const longPause = 32
/** First answers that the share of failures is taken of. */
const memory = 32

const nothing: Effects = { convicted: [], change: 'none' }

/**
 * The search for what stops a lane: the destination, or some messages whose failures look like it. A state machine without
 * clock or I/O. The states: the lane flows, and suspects are tried beside new messages; or it is paused, and single probes
 * are sent. A message is convicted by evidence in this order: it failed, another that was sent no earlier got through, it
 * failed again alone, another got through again. An outage convicts none: nothing gets through. What a message was
 * convicted of is remembered, and stops the lane no more.
 */
export class CulpritSearch {
  readonly #settings: SearchSettings
  readonly #known = new KnownFailures()
  /** Messages that failed and are neither settled nor convicted, the least recently failed first. */
  readonly #suspects = new Map<string, Suspect>()
  /** Those whose latest failure no success has followed yet. */
  readonly #failed = new Map<string, Suspect>()
  /** Those to be tried again now that others get through, in order. */
  readonly #cleared = new Map<string, Suspect>()
  /** Those under trial, and parked ones that failed again: each waits for a verdict. */
  readonly #trials = new Set<string>()
  /** Parked ones that were convicted before and failed again: the sends. */
  readonly #again = new Map<string, { readonly no: number; readonly topic: string; readonly code: string }>()
  #sent = 0
  #pause: Pause | undefined
  #probing: string | undefined
  #nextProbeAt = Infinity
  #turn = 0
  #place = 0
  /** Rounds of backoff that the next failure waits. Goes down as messages get through. */
  #debt = 0
  /** Failures since anything got through. */
  #streak = 0
  #health = 1
  #batch: number
  /** Messages that got through since a batch failed last, of those sent after it. */
  #batched = 0
  #batchFailedAt = 0

  constructor(settings: SearchSettings) {
    this.#settings = settings
    this.#batch = settings.maxBatch
  }

  /** Why nothing but probes is sent; undefined: the lane flows. */
  get paused(): PauseKind | undefined {
    return this.#pause?.kind
  }

  /** Monotonic time of the next probe; Infinity while one is under way or none is needed. */
  get nextProbeAt(): number {
    return this.#pause && this.#probing === undefined ? this.#nextProbeAt : Infinity
  }

  /** Messages that a call may have: fewer after a batch failed, until batches get through again. */
  get batchLimit(): number {
    return this.#batch
  }

  /** Calls go one at a time: what fails takes others along. */
  get careful(): boolean {
    return this.#batch < this.#settings.maxBatch
  }

  /** So many probes of this pause have failed that it is worth a row for each further one to read on. */
  get long(): boolean {
    return (this.#pause?.probes ?? 0) >= longPause
  }

  get suspects(): number {
    return this.#suspects.size
  }

  /** Ids of messages that failed and are neither settled nor convicted. */
  suspectIds(): IterableIterator<string> {
    return this.#suspects.keys()
  }

  /** Topics that failed in this pause: a message of another topic tells more. */
  suspectTopics(): Set<string> {
    return new Set([...this.#suspects.values()].map(({ topic }) => topic))
  }

  /** Nothing is suspected, and the lane flows: no message needs to be told from another. Ids may be left empty then. */
  get calm(): boolean {
    return !this.#pause && this.#probing === undefined && this.#suspects.size + this.#again.size === 0
  }

  /** Gives the number of the send. */
  sent(id: string): number {
    if (this.calm) return ++this.#sent
    const suspect = this.#suspects.get(id)
    if (suspect) {
      suspect.trying = true
      this.#cleared.delete(id)
      if (suspect.accused === undefined && suspect.confirmed && this.#trials.size < mostTrials) this.#trials.add(id)
    }
    this.#again.delete(id)
    return ++this.#sent
  }

  /** The destination answered for the message itself. `was`: the code it was convicted of before. */
  succeeded(answered: Answered, now: number, was?: string): Effects {
    const { id, topic, no } = answered
    const probe = this.#probing === id
    if (!this.#suspects.has(id)) this.#health += (1 - this.#health) / memory
    if (!this.calm) this.forget(id)
    this.#streak = 0
    if (this.#debt > 0) this.#debt--
    if (!probe) this.#grow(no)
    if (was !== undefined) this.#known.doubt(was, topic)
    const convicted = this.#failed.size + this.#again.size > 0 ? this.#confirm(answered, now) : []
    this.#known.gotThrough(topic)
    if (!this.#pause) return convicted.length > 0 ? { convicted, change: 'none' } : nothing
    if (!probe) {
      if (no < this.#pause.no || ++this.#pause.passed < quorum * this.#pause.failed)
        return { convicted, change: 'none' }
      convicted.push(...this.#throttled(no, now))
    }
    this.#pause = undefined
    this.#debt = Math.floor(this.#debt / 2)
    return { convicted, change: 'resumed' }
  }

  /** The destination is down, says the answer. */
  failed(failed: Failed, now: number): Effects {
    const probe = this.#probing === failed.id
    if (probe) this.#probing = undefined
    if (failed.convicted) {
      if (probe && this.#pause) this.#wait(now, failed.retryAfterMs ?? 0)
      return this.#failedAgain(failed, now)
    }
    const known = this.#known.look(failed.code, failed.topic, now)
    const put = failed.size === 1 || known === 'all' ? 'aside' : 'back'
    const trial = this.#suspects.get(failed.id)?.confirmed === true
    if (!trial && known !== 'all') this.#health -= this.#health / memory
    if (put === 'aside') this.#suspect(failed, known, now)
    else this.#shrink(failed.size)
    if (this.#pause) {
      this.#failedInPause(this.#pause, failed, probe, now)
      return { put, convicted: [], change: 'none' }
    }
    this.#streak++
    const ordinary = trial || (put === 'aside' && known !== undefined)
    if (ordinary && this.#streak < this.#longest) return { put, convicted: [], change: 'none' }
    this.#begin(failed.kind, failed.no, now, failed.retryAfterMs)
    return { put, convicted: [], change: 'paused' }
  }

  /** Nothing is left to send, nothing is under way, and suspects wait for a verdict. True: the lane pauses. */
  stall(now: number): boolean {
    if (this.#pause || this.#suspects.size === 0 || this.trial(now) !== undefined) return false
    const [latest] = [...this.#suspects.values()].slice(-1)
    this.#begin(latest?.kind ?? 'outage', this.#sent, now, undefined, 1)
    return true
  }

  /** The suspect to send alone now, beside new messages; undefined: none. */
  trial(now: number): string | undefined {
    if (this.#pause || this.#trials.size >= mostTrials) return undefined
    for (const { id, notBefore } of this.#cleared.values()) if (notBefore <= now) return id
    return undefined
  }

  /**
   * What to probe with now; undefined when it is not time. Of three probes two are messages that have not failed, where
   * there are any, each other one of a topic that has not either; the third is the suspect that has
   * waited longest. `fresh`: what may be sent and has not failed, in the order of the log. Answer with `probed`.
   */
  probe(now: number, fresh: readonly { readonly topic: string }[]): Probe | undefined {
    const pause = this.#pause
    if (!pause || this.#probing !== undefined || now < this.#nextProbeAt) return undefined
    if (pause.eager && fresh.length === 0) {
      pause.eager = false
      this.#nextProbeAt = now + backoffDelay(1, this.#settings.backoff, this.#settings.random)
      return undefined
    }
    let suspect: Suspect | undefined
    let soonest = Infinity
    for (const each of this.#suspects.values()) {
      if (each.trying) continue
      soonest = Math.min(soonest, each.notBefore)
      if (each.notBefore <= now) suspect = suspect ?? each
    }
    if (fresh.length > 0 && !(suspect && this.#turn % 3 === 2)) return { fresh: this.#choose(fresh) }
    if (suspect) return { suspect: suspect.id }
    if (this.#suspects.size > 0) this.#nextProbeAt = Math.min(soonest, now + this.#settings.backoff.capMs)
    return undefined
  }

  /** The message is sent as the probe that was chosen. */
  probed(id: string): void {
    this.#probing = id
    this.#turn++
    if (!this.#pause) return
    this.#pause.eager = false
    this.#pause.probes++
  }

  /** Nothing is left that could probe: what comes next shows how things are. True: the lane goes on. */
  giveUp(): boolean {
    if (!this.#pause || this.#probing !== undefined || this.#suspects.size > 0) return false
    this.#pause = undefined
    return true
  }

  /** An operator gave suspects up: how things are without them is asked at once, but for what a throttled one asked for. */
  hurry(now: number): void {
    if (this.#pause?.kind !== 'throttled' || this.#suspects.size === 0)
      this.#nextProbeAt = Math.min(this.#nextProbeAt, now)
  }

  /** The message is settled, or was not sent after all. */
  forget(id: string): void {
    if (this.#probing === id) this.#probing = undefined
    this.#suspects.delete(id)
    this.#failed.delete(id)
    this.#cleared.delete(id)
    this.#trials.delete(id)
    this.#again.delete(id)
  }

  /** A suspect that was to be sent was not: it waits for its turn again. */
  unsent(id: string): void {
    if (this.#probing === id) this.#probing = undefined
    const suspect = this.#suspects.get(id)
    if (!suspect) return
    suspect.trying = false
    this.#trials.delete(id)
    if (suspect.confirmed && suspect.accused === undefined) this.#cleared.set(id, suspect)
  }

  /** Whether a message may be given up for such a failure: most others get through, or none of its topic ever do. */
  mayGiveUp(code: string, topic: string, now: number): boolean {
    return this.#health >= 0.5 || this.#known.look(code, topic, now) === 'all'
  }

  /** Failures in a row, at most, that stop nothing because they are known or tried again. */
  get #longest(): number {
    return Math.max(16, 2 * this.#settings.concurrency)
  }

  #choose(fresh: readonly { readonly topic: string }[]): number {
    const topics = this.suspectTopics()
    const others: number[] = []
    fresh.forEach(({ topic }, index) => {
      if (!topics.has(topic)) others.push(index)
    })
    // every other one is of any topic: what is parked comes back, and one that it hides may be good
    const [n, any] = [this.#place >> 1, this.#place % 2 === 1]
    this.#place++
    return any || others.length === 0 ? probePlace(n, fresh.length) : (others[probePlace(n, others.length)] as number)
  }

  #failedAgain({ id, no, topic, code }: Failed, now: number): Effects {
    const waiting = this.#again.size + this.#trials.size
    if (waiting < mostTrials || this.#known.look(code, topic, now) === 'all') this.#again.set(id, { no, topic, code })
    return { put: 'later', convicted: [], change: 'none' }
  }

  #suspect(failed: Failed, known: 'all' | 'some' | undefined, now: number): void {
    const { id, topic, kind, code, no, retryAfterMs = 0 } = failed
    const before = this.#suspects.get(id)
    const ofTopic = known === 'all' || (known !== undefined && kind === 'throttled')
    const accused = this.#trials.has(id) ? 'retried' : ofTopic ? 'topic' : undefined
    const suspect: Suspect = {
      ...{ id, topic, kind, code, no, notBefore: now + retryAfterMs },
      ...{ confirmed: before?.confirmed ?? false, accused, trying: false },
    }
    this.#cleared.delete(id)
    this.#suspects.delete(id)
    this.#suspects.set(id, suspect)
    this.#failed.set(id, suspect)
  }

  #failedInPause(pause: Pause, { kind, no, retryAfterMs = 0 }: Failed, probe: boolean, now: number): void {
    if (probe) {
      pause.kind = kind
      this.#wait(now, retryAfterMs)
    } else if (no >= pause.no) {
      pause.failed++
      this.#nextProbeAt = Math.max(this.#nextProbeAt, now + retryAfterMs)
    }
  }

  #begin(kind: PauseKind, no: number, now: number, retryAfterMs = 0, rounds = 0): void {
    this.#debt = Math.max(this.#debt, rounds)
    this.#pause = { kind, no, passed: 0, failed: 1, eager: this.#debt === 0 && retryAfterMs === 0, probes: 0 }
    this.#turn = 0
    this.#wait(now, retryAfterMs)
  }

  // A batch that failed is sent again in parts. They grow as whole ones get through.
  #shrink(size: number): void {
    this.#batch = Math.max(1, Math.min(this.#batch, Math.floor(size / 4)))
    this.#batched = 0
    this.#batchFailedAt = this.#sent
  }

  #grow(no: number): void {
    const { maxBatch } = this.#settings
    if (this.#batch >= maxBatch || no <= this.#batchFailedAt || ++this.#batched < this.#batch) return
    this.#batch = Math.min(maxBatch, this.#batch * 2)
    this.#batched = 0
  }

  // Where messages got through before the pause its first probe goes at once.
  #wait(now: number, retryAfterMs: number): void {
    const { backoff, random } = this.#settings
    const ms = this.#debt === 0 ? 0 : backoffDelay(this.#debt, backoff, random)
    this.#debt++
    this.#nextProbeAt = now + Math.max(retryAfterMs, ms)
  }

  // One got through: failures of what was sent no later are the messages' own, or happened before it was up again.
  #confirm({ no, topic }: Answered, now: number): string[] {
    const convicted: string[] = []
    for (const suspect of this.#failed.values()) {
      if (suspect.no > no) continue
      this.#failed.delete(suspect.id)
      suspect.confirmed = true
      if (suspect.accused === 'retried' || (suspect.accused === 'topic' && suspect.topic !== topic)) {
        convicted.push(this.#convict(suspect, now))
      } else {
        suspect.accused = undefined
        this.#trials.delete(suspect.id)
        if (!suspect.trying) this.#cleared.set(suspect.id, suspect)
      }
    }
    for (const [id, again] of this.#again) {
      if (again.no > no) continue
      this.#again.delete(id)
      this.#known.convicted(again.code, again.topic, now)
      convicted.push(id)
    }
    return convicted
  }

  // Where so many get through at once it is no limit of the destination's: trying again before its time is no use.
  #throttled(no: number, now: number): string[] {
    const own = [...this.#suspects.values()].filter(
      (each) => each.kind === 'throttled' && each.confirmed && each.no <= no,
    )
    return own.filter(({ trying }) => !trying).map((suspect) => this.#convict(suspect, now))
  }

  #convict(suspect: Suspect, now: number): string {
    this.#known.convicted(suspect.code, suspect.topic, now)
    this.forget(suspect.id)
    return suspect.id
  }
}
