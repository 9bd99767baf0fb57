import type { Socket } from 'node:net'
import { Client, type buildConnector } from 'undici'
import { AnswerWatch } from './answer-watch.js'
import { readStatusLine } from './status-line.js'

export interface ConnectionOptions {
  readonly origin: string
  /** At most. */
  readonly limit: number
  /** Whether a connection serves more than one request. */
  readonly keepAlive: boolean
  /** A connection that is older is not used again, so that a name that moves is followed. */
  readonly lifetimeMs: number
  readonly connect: buildConnector.connector
  /** An endpoint sent bytes that belong to no request. */
  readonly onSurplus: () => void
}

/** Less than what common servers and load balancers keep an idle connection for. */
const idleMs = 4000
/**
 * After its first answer a connection is left alone for so long: an endpoint that sends more than its answer (a body with
 * a 204, an answer twice) does so within a moment, and then there is nothing yet that it could be taken for.
 */
const restMs = 20
/** For so long an endpoint that sent too much gets a connection for each request. */
const distrustMs = 600_000

/** One connection at a time, of one request at a time; it belongs to who took it. */
export class Connection {
  readonly client: Client
  readonly watch = new AnswerWatch()
  /** Of its present socket: requests that it has answered. */
  answers = 0
  /** Monotonic milliseconds after which the socket is not used again. */
  until = Infinity
  #socket: Socket | undefined
  #onClosed: (() => void) | undefined

  constructor({ origin, connect, lifetimeMs }: ConnectionOptions, onSurplus: () => void) {
    this.client = new Client(origin, {
      // a POST behind another on one connection would share its fate
      pipelining: 1,
      // an exchange has one limit for everything, body included, and undici's timers tick once a second
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: idleMs,
      // a server may ask for a longer one, up to the connection's life
      keepAliveMaxTimeout: Math.max(idleMs, lifetimeMs),
      connect: (target, callback) =>
        connect(target, (error, socket) => {
          if (error) return callback(error, null)
          this.#attach(socket, lifetimeMs, onSurplus)
          callback(null, socket)
        }),
    })
  }

  get open(): boolean {
    return this.#socket !== undefined
  }

  /** Calls `done` after `restMs`, or as soon as the socket has gone. */
  rest(done: () => void): void {
    const timer = setTimeout(() => this.#onClosed?.(), restMs)
    this.#onClosed = () => {
      clearTimeout(timer)
      this.#onClosed = undefined
      done()
    }
  }

  #attach(socket: Socket, lifetimeMs: number, onSurplus: () => void): void {
    this.#socket = socket
    this.answers = 0
    // spread, so that the connections of a lane are not all made anew at once
    this.until = performance.now() + lifetimeMs * (0.75 + Math.random() / 4)
    const read = socket.read.bind(socket) as (size?: number) => Buffer | null
    socket.read = (size?: number): Buffer | null => {
      const chunk = read(size)
      if (chunk === null) return null
      if (!this.watch.quiet) return this.watch.pass(chunk) ?? null
      // what some servers say before they close a connection that was idle for long: no answer to anything
      if (readStatus(chunk) !== 408) onSurplus()
      socket.destroy()
      return null
    }
    socket.once('close', () => {
      if (this.#socket === socket) this.#socket = undefined
      this.#onClosed?.()
    })
  }
}

function readStatus(chunk: Uint8Array): number | undefined {
  const line = readStatusLine(chunk)
  return line.kind === 'status' ? line.status : undefined
}

/**
 * The connections of a destination. undici's pool shares one out as soon as its answer is over, and keeps it for as long as
 * messages flow; here it rests after its first answer, has a life, and is watched while nothing may come.
 */
export class Connections {
  readonly #options: ConnectionOptions
  readonly #free: Connection[] = []
  readonly #all = new Set<Connection>()
  #distrustUntil = -Infinity
  #closed = false
  /** One is free again that was not when it was released. */
  onFree: () => void = () => undefined

  constructor(options: ConnectionOptions) {
    this.#options = options
  }

  /** Whether connections serve more than one request at present. */
  get reusing(): boolean {
    return this.#options.keepAlive && performance.now() >= this.#distrustUntil
  }

  /** undefined while all are at work or at rest. */
  take(): Connection | undefined {
    const last = this.#free.pop()
    if (last && !this.#isSpent(last)) return last
    if (last) this.#discard(last)
    if (this.#all.size >= this.#options.limit) return undefined
    const connection = new Connection(this.#options, () => this.#surplus())
    this.#all.add(connection)
    return connection
  }

  /** It was taken, and not used. */
  putBack(connection: Connection): void {
    this.#free.push(connection)
  }

  /** `clean`: its answer is over, and nothing of it is under way any more. */
  release(connection: Connection, clean: boolean): void {
    connection.watch.end()
    if (!clean || this.#closed) return this.#discard(connection)
    connection.answers += 1
    if (connection.answers > 1 || !connection.open || !this.reusing) return void this.#free.push(connection)
    connection.rest(() => {
      if (this.#closed) return
      this.#free.push(connection)
      this.onFree()
    })
  }

  async destroy(): Promise<void> {
    this.#closed = true
    await Promise.all(Array.from(this.#all, ({ client }) => client.destroy()))
    this.#all.clear()
  }

  #isSpent(connection: Connection): boolean {
    if (!connection.open) return false
    return performance.now() >= connection.until || (connection.answers > 0 && !this.reusing)
  }

  #discard(connection: Connection): void {
    this.#all.delete(connection)
    void connection.client.destroy()
  }

  #surplus(): void {
    if (this.reusing) this.#options.onSurplus()
    this.#distrustUntil = performance.now() + distrustMs
  }
}
