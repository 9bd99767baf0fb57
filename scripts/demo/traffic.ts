import { setTimeout as sleep } from 'node:timers/promises'
import { randomOf } from './receiver.js'
import type { Committed } from './verdict.js'

export interface TrafficOptions {
  readonly url: string
  /** Messages to commit, exactly. */
  readonly messages: number
  /** How long it should take, if the API is fast enough. */
  readonly durationMs: number
  readonly concurrency: number
  readonly signal: AbortSignal
}

interface Answer {
  readonly order: { readonly id: string; readonly status: string }
  readonly messages: readonly { readonly id: string; readonly topic: string; readonly version: number }[]
}

interface Request {
  readonly path: string
  readonly body: unknown
  /** Messages that it commits when all goes well. */
  readonly messages: number
}

/** Customers of the orders API: they order, pay, cancel, and ask for what can't be had. */
export class Traffic {
  readonly committed: Committed[] = []
  /** Transactions that published, and then were rolled back. */
  rolledBack = 0
  /** Requests that came too late: two about one order ran side by side. */
  conflicts = 0
  readonly #options: TrafficOptions
  readonly #random = randomOf('traffic')
  readonly #open: { readonly id: string; status: string }[] = []
  #underWay = 0

  constructor(options: TrafficOptions) {
    this.#options = options
  }

  /** Resolves when all messages are committed. */
  async run(): Promise<void> {
    const { messages, durationMs, concurrency, signal } = this.#options
    const started = performance.now()
    const running = new Set<Promise<void>>()
    while (this.committed.length < messages) {
      signal.throwIfAborted()
      const due = Math.ceil((messages * (performance.now() - started)) / durationMs)
      const left = messages - this.committed.length - this.#underWay
      if (running.size < concurrency && left > 0 && this.committed.length + this.#underWay < due) {
        const request = this.#next(left)
        const work: Promise<void> = this.#send(request).finally(() => running.delete(work))
        running.add(work)
      } else {
        // Rejects with the first failure; waits a little otherwise.
        await Promise.race([...running, sleep(5, undefined, { signal })])
      }
    }
  }

  #next(left: number): Request {
    const luck = this.#random()
    const order = this.#open[Math.floor(this.#random() * this.#open.length)]
    if (order === undefined || luck < 0.4 || (left === 1 && order.status === 'created')) {
      // Nobody has a million of anything: this one publishes and is rolled back.
      const quantity = luck < 0.02 ? 1_000_001 : 1 + Math.floor(this.#random() * 3)
      const sku = `sku-${1 + Math.floor(this.#random() * 20)}`
      return { path: '/orders', body: { customer: 'Ada', sku, quantity }, messages: 1 }
    }
    const path = `/orders/${order.id}`
    if (order.status === 'created') {
      if (luck < 0.5) return { path: `${path}/cancel`, body: { reason: 'changed my mind' }, messages: 1 }
      return { path: `${path}/pay`, body: { card: luck < 0.55 ? 'declined' : 'good' }, messages: 2 }
    }
    return { path: `${path}/${luck < 0.7 ? 'ship' : 'refund'}`, body: {}, messages: 1 }
  }

  async #send({ path, body, messages }: Request): Promise<void> {
    this.#underWay += messages
    try {
      const response = await fetch(this.#options.url + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: this.#options.signal,
      })
      const answer: unknown = await response.json()
      if (response.ok) this.#note(answer as Answer)
      else if (response.status === 402) this.rolledBack++
      else if (response.status === 409 && path === '/orders') this.rolledBack++
      else if (response.status === 409) this.conflicts++
      else throw new Error(`the orders API answered ${response.status} to POST ${path}: ${JSON.stringify(answer)}`)
    } finally {
      this.#underWay -= messages
    }
  }

  #note({ order, messages }: Answer): void {
    for (const { id, topic, version } of messages) this.committed.push({ id, topic, version, key: order.id })
    const index = this.#open.findIndex(({ id }) => id === order.id)
    if (index < 0) this.#open.push({ id: order.id, status: order.status })
    else if (order.status === 'paid') this.#open[index] = { id: order.id, status: 'paid' }
    else this.#open.splice(index, 1)
  }
}
