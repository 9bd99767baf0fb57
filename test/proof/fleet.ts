import { setTimeout as sleep } from 'node:timers/promises'
import { type TestChild, spawnChild } from '../support/children.js'
import { waitFor } from '../support/wait-for.js'
import { WallClock } from '../support/wall-clock.js'
import type { Configuration } from './configurations.js'

/** What a dispatcher of the proof is given. */
export interface DispatcherSettings {
  readonly databaseUrl: string
  readonly webhookUrl: string
  readonly amqpUrl: string
  readonly queue: string
  readonly brokers: readonly string[]
  readonly kafkaTopic: string
  /** `host:port` of who knows names. */
  readonly nameServer: string
  readonly leaseMs: number
  readonly shards: number
  /** Messages that a lane has in flight, at most. */
  readonly window: number
  /** Whether they tidy the database up. */
  readonly maintenance: boolean
  readonly configuration: Configuration
}

/** What `process.memoryUsage` says after a forced garbage collection, in bytes. */
export type Memory = NodeJS.MemoryUsage

interface MemoryAnswer {
  readonly ask: number
  readonly memory: Memory
}

const restartMs = 500
/** A supervisor's patience with one that is to stop. */
const graceMs = 20_000

interface Member {
  readonly child: TestChild<unknown>
  readonly configuration: Configuration
}

/** Dispatchers that share the lanes; one that ends is started again, as a supervisor would. */
export class Fleet {
  readonly #settings: DispatcherSettings
  readonly #members: Member[] = []
  /** Another has taken their place; they are about to stop, and are not started again. */
  readonly #leaving = new Set<Member>()
  readonly #clocks: WallClock[] = []
  #asked = 0
  #stopping = false
  readonly #gone: Member[] = []

  /** So many, from the first, are never killed: what they have in memory is that of the whole time. */
  readonly spared: number

  constructor(settings: DispatcherSettings, { spared = 0 }: { readonly spared?: number } = {}) {
    this.#settings = settings
    this.spared = spared
  }

  /** Those that are about to stop count too, after the others. */
  get size(): number {
    return this.#members.length + this.#leaving.size
  }

  #at(index: number): Member | undefined {
    return [...this.#members, ...this.#leaving][index]
  }

  /** `clocks`: each goes by a wall clock of its own, which can be set. */
  async start(count: number, { clocks }: { readonly clocks: boolean }): Promise<void> {
    if (clocks) for (let i = 0; i < count; i++) this.#clocks.push(await WallClock.create())
    const members = Array.from({ length: count }, (_, i) => this.#launch(i, this.#settings.configuration))
    await Promise.all(members.map(({ child }) => child.waitForMessage(hasStarted, 60_000)))
  }

  pid(index: number): number | undefined {
    return this.#at(index)?.child.pid
  }

  /** What it has in memory, once what can be collected is collected. Rejects when it does not answer. */
  async memory(index: number): Promise<Memory> {
    const member = this.#at(index)?.child as TestChild<Partial<MemoryAnswer>> | undefined
    if (!member) throw new Error(`there is no dispatcher ${index}`)
    const ask = ++this.#asked
    member.send({ ask })
    const { memory } = (await member.waitForMessage((message) => message.ask === ask)) as MemoryAnswer
    return memory
  }

  /** SIGKILL: it can put nothing in order. */
  async kill(index: number): Promise<void> {
    await this.#at(index)?.child.kill('SIGKILL')
  }

  /** Sets its wall clock so many seconds ahead of the machine's, or behind it. */
  async setClock(index: number, seconds: number): Promise<void> {
    await this.#clocks[index]?.set(seconds)
  }

  /** SIGSTOP. What it gives lets that process go on, wherever it stands then. */
  freeze(index: number): () => void {
    const child = this.#at(index)?.child
    child?.signal('SIGSTOP')
    return () => child?.signal('SIGCONT')
  }

  /** `work` while those from this one on are frozen. */
  async whileFrozen<T>(from: number, work: () => Promise<T>): Promise<T> {
    const frozen = Array.from({ length: this.size - from }, (_, i) => this.freeze(from + i))
    try {
      return await work()
    } finally {
      for (const thaw of frozen) thaw()
    }
  }

  /**
   * As a rolling deployment does it: one by one, a process with the new configuration is started, both run for a while,
   * and the old one is told to stop.
   */
  async deploy(configuration: Configuration, overlapMs: () => number): Promise<void> {
    for (const [i, old] of [...this.#members.entries()]) {
      // the old one may have been killed and started again meanwhile
      const leaving = this.#members[i] ?? old
      this.#leaving.add(leaving)
      this.#launch(i, configuration)
      const started = (): boolean => this.#members[i]?.child.messages().some(hasStarted) === true
      await waitFor(started, { timeoutMs: 60_000, what: `dispatcher ${i} of generation ${configuration.generation}` })
      await sleep(overlapMs())
      await this.#retire(leaving)
    }
  }

  async #retire(member: Member): Promise<void> {
    member.child.signal('SIGTERM')
    const over = new AbortController()
    const late = sleep(graceMs, undefined, { signal: over.signal }).then(
      () => member.child.kill('SIGKILL'),
      () => undefined,
    )
    await Promise.race([member.child.exited, late]).finally(() => over.abort())
    this.#leaving.delete(member)
    if (!this.#gone.includes(member)) this.#gone.push(member)
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      [...this.#members, ...this.#leaving].map(async ({ child }) => {
        child.signal('SIGCONT')
        await child.kill('SIGTERM')
      }),
    )
  }

  /** How often a lane was started again from what is stored by the one who held it. */
  get restarts(): number {
    return [...this.#gone, ...this.#members, ...this.#leaving]
      .flatMap(({ child }) => child.messages() as { readonly msg?: string }[])
      .filter(({ msg }) => msg === 'lane starts again from what is stored').length
  }

  /** The end of what each printed and logged. */
  output(): string {
    return [...this.#members, ...this.#leaving]
      .map(({ child, configuration }, i) => {
        const logged = child.messages().map((line) => JSON.stringify(line))
        const printed = child.output().split('\n')
        const name = `dispatcher ${i}, generation ${configuration.generation}:`
        return [name, ...printed.slice(-10), ...logged.slice(-20)].join('\n')
      })
      .join('\n')
  }

  #launch(index: number, configuration: Configuration): Member {
    const child = spawnChild(new URL('dispatcher-child.ts', import.meta.url).pathname, {
      nodeFlags: ['--expose-gc'],
      env: { WAYBILL_PROOF: JSON.stringify({ ...this.#settings, configuration }), ...this.#clocks[index]?.env },
    })
    const member: Member = { child, configuration }
    this.#members[index] = member
    void child.exited.then(async () => {
      if (this.#stopping) return
      this.#gone.push(member)
      if (this.#leaving.has(member)) return
      await sleep(restartMs)
      if (!this.#stopping && this.#members[index] === member) this.#launch(index, configuration)
    })
    return member
  }
}

const hasStarted = (message: unknown): boolean => (message as { readonly started?: boolean }).started === true
