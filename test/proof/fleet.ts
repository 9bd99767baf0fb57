import { setTimeout as sleep } from 'node:timers/promises'
import { type TestChild, spawnChild } from '../support/children.js'
import { WallClock } from '../support/wall-clock.js'

/** What a dispatcher of the proof is given. */
export interface DispatcherSettings {
  readonly databaseUrl: string
  readonly webhookUrl: string
  readonly amqpUrl: string
  readonly queue: string
  readonly brokers: readonly string[]
  readonly kafkaTopic: string
  readonly leaseMs: number
  readonly shards: number
  /** Messages that a lane has in flight, at most. */
  readonly window: number
  /** Whether they tidy the database up. */
  readonly maintenance: boolean
}

/** What `process.memoryUsage` says after a forced garbage collection, in bytes. */
export type Memory = NodeJS.MemoryUsage

interface MemoryAnswer {
  readonly ask: number
  readonly memory: Memory
}

const restartMs = 500

/** Dispatchers that share the lanes; one that ends is started again, as a supervisor would. */
export class Fleet {
  readonly #settings: DispatcherSettings
  readonly #members: (TestChild<unknown> | undefined)[] = []
  readonly #clocks: WallClock[] = []
  #asked = 0
  #stopping = false
  readonly #gone: TestChild<unknown>[] = []

  /** So many, from the first, are never killed: what they have in memory is that of the whole time. */
  readonly spared: number

  constructor(settings: DispatcherSettings, { spared = 0 }: { readonly spared?: number } = {}) {
    this.#settings = settings
    this.spared = spared
  }

  get size(): number {
    return this.#members.length
  }

  /** `clocks`: each goes by a wall clock of its own, which can be set. */
  async start(count: number, { clocks }: { readonly clocks: boolean }): Promise<void> {
    if (clocks) for (let i = 0; i < count; i++) this.#clocks.push(await WallClock.create())
    const members = Array.from({ length: count }, (_, i) => this.#launch(i))
    await Promise.all(members.map((member) => member.waitForMessage(() => true, 60_000)))
  }

  pid(index: number): number | undefined {
    return this.#members[index]?.pid
  }

  /** What it has in memory, once what can be collected is collected. Rejects when it does not answer. */
  async memory(index: number): Promise<Memory> {
    const member = this.#members[index] as TestChild<Partial<MemoryAnswer>> | undefined
    if (!member) throw new Error(`there is no dispatcher ${index}`)
    const ask = ++this.#asked
    member.send({ ask })
    const { memory } = (await member.waitForMessage((message) => message.ask === ask)) as MemoryAnswer
    return memory
  }

  /** SIGKILL: it can put nothing in order. */
  async kill(index: number): Promise<void> {
    await this.#members[index]?.kill('SIGKILL')
  }

  /** Sets its wall clock so many seconds ahead of the machine's, or behind it. */
  async setClock(index: number, seconds: number): Promise<void> {
    await this.#clocks[index]?.set(seconds)
  }

  freeze(index: number): void {
    this.#members[index]?.signal('SIGSTOP')
  }

  thaw(index: number): void {
    this.#members[index]?.signal('SIGCONT')
  }

  /** `work` while those from this one on are frozen. */
  async whileFrozen<T>(from: number, work: () => Promise<T>): Promise<T> {
    const frozen = Array.from({ length: this.size - from }, (_, i) => from + i)
    for (const i of frozen) this.freeze(i)
    try {
      return await work()
    } finally {
      for (const i of frozen) this.thaw(i)
    }
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(
      this.#members.map(async (member) => {
        member?.signal('SIGCONT')
        await member?.kill('SIGTERM')
      }),
    )
  }

  /** How often a lane was started again from what is stored by the one who held it. */
  get restarts(): number {
    const members = [...this.#gone, ...this.#members.filter((member) => member !== undefined)]
    return members
      .flatMap((member) => member.messages() as { readonly msg?: string }[])
      .filter(({ msg }) => msg === 'lane starts again from what is stored').length
  }

  /** The end of what each printed and logged. */
  output(): string {
    return this.#members
      .map((member, i) => {
        const logged = member?.messages().map((line) => JSON.stringify(line)) ?? []
        const printed = member?.output().split('\n') ?? []
        return [`dispatcher ${i}:`, ...printed.slice(-10), ...logged.slice(-20)].join('\n')
      })
      .join('\n')
  }

  #launch(index: number): TestChild<unknown> {
    const child = spawnChild(new URL('dispatcher-child.ts', import.meta.url).pathname, {
      nodeFlags: ['--expose-gc'],
      env: { WAYBILL_PROOF: JSON.stringify(this.#settings), ...this.#clocks[index]?.env },
    })
    this.#members[index] = child
    void child.exited.then(async () => {
      if (this.#stopping) return
      this.#gone.push(child)
      await sleep(restartMs)
      if (!this.#stopping) this.#launch(index)
    })
    return child
  }
}
