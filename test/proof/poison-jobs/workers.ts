import { setTimeout as sleep } from 'node:timers/promises'
import { type TestChild, spawnChild } from '../../support/children.js'
import { withClient } from '../../support/with-client.js'

const script = new URL('worker-child.ts', import.meta.url).pathname
const restartMs = 200
/** A supervisor's patience: with one that starts, and with one that prints nothing any more. */
const patienceMs = { start: 60_000, silent: 5000 }

/** Workers of the proof's queue; one that ends is started again and one that spins is ended, as a supervisor would. */
export class Workers {
  readonly #url: string
  readonly #leaseMs: number
  readonly #children: TestChild<unknown>[] = []
  readonly #supervised: Promise<void>[] = []
  #stopping = false
  /** Processes that ended by themselves, or had to be. */
  ended = 0

  constructor(url: string, leaseMs: number) {
    this.#url = url
    this.#leaseMs = leaseMs
  }

  /** Does nothing where they run already. */
  async start(count: number): Promise<void> {
    if (this.#supervised.length > 0) return
    await withClient(this.#url, (client) =>
      client.query('create table proof_effects (message_id uuid primary key, times int not null)'),
    )
    for (let i = 0; i < count; i++) this.#supervised.push(this.#supervise(i))
  }

  async stop(): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#children.map((child) => child.kill('SIGKILL')))
    await Promise.all(this.#supervised)
  }

  /** The end of what each printed. */
  output(): string {
    return this.#children
      .map((child, i) => {
        const told = child.messages().filter((line) => (line as { readonly msg?: string }).msg !== 'beat')
        return [`worker ${i}:`, child.output(), ...told.slice(-5).map((line) => JSON.stringify(line))].join('\n')
      })
      .join('\n')
  }

  async #supervise(index: number): Promise<void> {
    while (!this.#stopping) {
      const child = spawnChild(script, { args: [this.#url, String(this.#leaseMs)] })
      this.#children[index] = child
      await this.#untilGone(child)
      await child.kill('SIGKILL')
      if (this.#stopping) return
      this.ended++
      await sleep(restartMs)
    }
  }

  /** Resolves when it has ended, or has printed nothing for too long. */
  async #untilGone(child: TestChild<unknown>): Promise<void> {
    let gone = false
    void child.exited.then(() => (gone = true))
    let [lines, since] = [0, performance.now()]
    while (!gone) {
      await sleep(100)
      const printed = child.messages().length
      if (printed > lines) [lines, since] = [printed, performance.now()]
      if (performance.now() - since > (lines > 0 ? patienceMs.silent : patienceMs.start)) return
    }
  }
}
