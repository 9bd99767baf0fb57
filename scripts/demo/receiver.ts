import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook } from 'standardwebhooks'
import type { Arrival } from './verdict.js'

/** How often a receiver misbehaves, as shares of its requests. */
export interface Manners {
  /** Answers 500 and does not take the message. */
  readonly errors: number
  /** Takes it, and answers late. */
  readonly slow: number
  /** Takes it, and cuts the connection in place of an answer: Waybill can't know, and must send it again. */
  readonly cuts: number
  /** Answers 429 and wants to be left alone for a second. */
  readonly throttles: number
}

export interface ReceiverOptions {
  readonly name: string
  readonly port: number
  readonly secret: string
  readonly manners: Manners
  /** Answers one message with 204 and forgets it: the demo's own checker must notice. */
  readonly loseOne: boolean
}

/** What a partner's endpoint would do: check the signature, take the message. And what partners do besides. */
export class Receiver {
  readonly url: string
  readonly arrivals: Arrival[] = []
  readonly counts = { errors: 0, slow: 0, cuts: 0, throttles: 0, badSignatures: 0 }
  readonly #options: ReceiverOptions
  readonly #webhook: Webhook
  readonly #random: () => number
  #server: Server | undefined
  #lose: boolean

  constructor(options: ReceiverOptions) {
    this.#options = options
    this.#webhook = new Webhook(options.secret)
    this.#random = randomOf(options.name)
    this.#lose = options.loseOne
    this.url = `http://127.0.0.1:${options.port}/hooks`
  }

  get name(): string {
    return this.#options.name
  }

  get down(): boolean {
    return this.#server === undefined
  }

  async start(): Promise<void> {
    const server = createServer((request, response) => {
      // fails when the sender goes away in the middle of its body
      this.#receive(request, response).catch(() => response.destroy())
    })
    server.keepAliveTimeout = 60_000
    server.listen(this.#options.port, '127.0.0.1')
    await once(server, 'listening')
    this.#server = server
  }

  /** Nobody listens any more, as when a machine is restarted. */
  async stop(): Promise<void> {
    const server = this.#server
    if (server === undefined) return
    this.#server = undefined
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const body = Buffer.concat(chunks)
    const { errors, slow, cuts, throttles } = this.#options.manners
    const luck = this.#random()
    if (luck < errors) {
      this.counts.errors++
      response.writeHead(500).end('out of memory')
    } else if (luck < errors + throttles) {
      this.counts.throttles++
      response.writeHead(429, { 'retry-after': '1' }).end()
    } else if (!this.#take(body, request)) {
      this.counts.badSignatures++
      response.writeHead(401).end('bad signature')
    } else if (luck < errors + throttles + slow) {
      this.counts.slow++
      await sleep(300 + 1200 * this.#random())
      response.writeHead(204).end()
    } else if (luck < errors + throttles + slow + cuts) {
      this.counts.cuts++
      request.socket.destroy()
    } else {
      response.writeHead(204).end()
    }
  }

  /** False when the signature is not right. The check is another project's: standardwebhooks. */
  #take(body: Buffer, { headers }: IncomingMessage): boolean {
    try {
      this.#webhook.verify(body.toString('utf8'), headers as Record<string, string>)
    } catch {
      return false
    }
    if (this.#lose && this.arrivals.length >= 10) this.#lose = false
    else this.arrivals.push(arrivalOf(String(headers['webhook-id']), body))
    return true
  }
}

export function arrivalOf(id: string, body: Buffer): Arrival {
  const { orderId, version } = JSON.parse(body.toString('utf8')) as { orderId: string; version: number }
  return { id, key: orderId, version }
}

/** Numbers from 0 to 1 that are the same in each run (mulberry32, seeded with a text). */
export function randomOf(seed: string): () => number {
  let state = [...seed].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}
