import { setTimeout as sleep } from 'node:timers/promises'
import type { Child } from './child.js'
import type { Receiver } from './receiver.js'
import { count, plural, seconds } from './text.js'

/** What is done to the system on purpose, and what came of it for the report. */
export class Troubles {
  readonly #tell: (text: string) => void
  readonly #done: string[] = []

  constructor(tell: (text: string) => void) {
    this.#tell = tell
  }

  /** The process is gone between two instructions, its deliveries under way with it. */
  async killDispatcher(dispatcher: Child, signal: AbortSignal): Promise<void> {
    const { pid } = dispatcher
    await dispatcher.kill()
    this.#tell(`the dispatcher is killed: SIGKILL to process ${pid}`)
    await sleep(1000, undefined, { signal })
    dispatcher.start()
    this.#tell(`a dispatcher is started again: process ${dispatcher.pid}; it waits for the dead one's leases to end`)
    this.#done.push('the dispatcher was killed (SIGKILL) in the middle of its work, and started again')
  }

  async outage(receiver: Receiver, ms: number, signal: AbortSignal): Promise<void> {
    await receiver.stop()
    this.#tell(`the ${receiver.name} is down: nobody listens`)
    await sleep(ms, undefined, { signal })
    await receiver.start()
    this.#tell(`the ${receiver.name} is back after ${seconds(ms)}`)
    this.#done.push(`the ${receiver.name} was down for ${seconds(ms)}`)
  }

  /** For the report: also what the receivers and the customers did by themselves. */
  list(receivers: readonly Receiver[], rolledBack: number): string[] {
    const manners = receivers.map(({ name, counts }) => {
      const did = [
        counts.errors > 0 ? `answered 500 to ${count(counts.errors)}` : '',
        counts.throttles > 0 ? `429 to ${count(counts.throttles)}` : '',
        counts.slow > 0 ? `took its time with ${count(counts.slow)}` : '',
        counts.cuts > 0 ? `took ${count(counts.cuts)} and hung up without an answer` : '',
      ]
      return `the ${name} ${did.filter(Boolean).join(', ') || 'behaved well'}`
    })
    return [
      ...this.#done,
      ...manners,
      `${plural(rolledBack, 'transaction')} published and ${rolledBack === 1 ? 'was' : 'were'} rolled back`,
    ]
  }
}
