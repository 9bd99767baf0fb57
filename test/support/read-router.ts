import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onFileEnd } from './cleanup.js'
import { withClient } from './with-client.js'

export interface ReadRouter {
  readonly port: number
  /** From now on, and on connections that are opened from now on: those that are open are cut. */
  route(reads: boolean): void
  /** Statements that went to the stand-by so far. */
  readonly routed: number
}

/** Of a message that a client sends first; none of these has a type byte. */
const startup = 196_608
const cancel = 80_877_102

/**
 * A proxy for PostgreSQL that sends plain SELECTs to a stand-by, as poolers do that balance reads: one statement that
 * begins with `select`, locks no rows and calls no volatile function. A prepared one stays where it was parsed. While
 * nothing is routed everything goes to the primary.
 */
export async function startReadRouter(
  primary: { readonly port: number },
  standby: { readonly port: number; readonly url: string },
): Promise<ReadRouter> {
  const volatile = await volatileFunctions(standby.url)
  const state = { reads: false, routed: 0 }
  const open = new Set<Socket>()
  const server = createServer((near) => {
    open.add(near)
    near.on('close', () => open.delete(near))
    near.on('error', () => undefined)
    const routes = state.reads
    near.once('data', (first: Buffer) => {
      const code = first.length >= 8 ? first.readInt32BE(4) : cancel
      const session = new Session(near, primary.port, (text) => {
        const plain = isPlainSelect(text, volatile)
        if (plain) state.routed++
        return plain
      })
      if (code === startup && routes) session.begin(first, standby.port)
      else session.pass(first)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const cut = (): void => {
    for (const near of open) near.destroy()
  }
  onFileEnd(() => {
    cut()
    server.close()
  })
  return {
    port: (server.address() as AddressInfo).port,
    route(reads) {
      state.reads = reads
      cut()
    },
    get routed() {
      return state.routed
    },
  }
}

/** One client, and its session with the primary; where it routes, another with the stand-by. */
class Session {
  readonly #near: Socket
  readonly #primary: Socket
  readonly #isPlain: (text: string) => boolean
  #standby: Socket | undefined
  /** Where each prepared statement was parsed. */
  readonly #parsed = new Map<string, Socket>()
  /** Where the messages go until the next Sync. */
  #target: Socket | undefined

  constructor(near: Socket, primaryPort: number, isPlain: (text: string) => boolean) {
    this.#near = near
    this.#isPlain = isPlain
    this.#primary = this.#connect(primaryPort)
    this.#primary.pipe(near)
  }

  #connect(port: number): Socket {
    const far = connect(port, '127.0.0.1')
    far.on('error', () => undefined)
    far.on('close', () => this.#near.destroy())
    this.#near.on('close', () => far.destroy())
    return far
  }

  /** Everything goes to the primary. */
  pass(first: Buffer): void {
    this.#primary.write(first)
    this.#near.pipe(this.#primary)
  }

  begin(first: Buffer, standbyPort: number): void {
    const standby = this.#connect(standbyPort)
    this.#standby = standby
    for (const far of [this.#primary, standby]) far.write(first)
    // what the stand-by says until it is ready, the primary says too
    eachMessage(standby, (message, type, stop) => {
      if (type === 'Z') stop().pipe(this.#near)
    })
    eachMessage(this.#near, (message, type) => this.#forward(message, type))
  }

  #forward(message: Buffer, type: string): void {
    this.#target ??= this.#choose(message, type)
    const target = this.#target ?? this.#primary
    if (type === 'P') this.#parsed.set(textAt(message, 5).text, target)
    target.write(message)
    if (type === 'S' || type === 'Q') this.#target = undefined
  }

  /** Undefined: this message does not say. */
  #choose(message: Buffer, type: string): Socket | undefined {
    if (type === 'Q') return this.#byText(textAt(message, 5).text)
    if (type === 'P') return this.#byText(textAt(message, textAt(message, 5).end).text)
    // a portal's name, and then the statement's
    if (type === 'B') return this.#parsed.get(textAt(message, textAt(message, 5).end).text)
    return undefined
  }

  #byText(text: string): Socket | undefined {
    return this.#isPlain(text) ? this.#standby : this.#primary
  }
}

/** Takes a stream of the protocol apart. `stop` ends that, with the stream at the next message. */
function eachMessage(socket: Socket, visit: (message: Buffer, type: string, stop: () => Socket) => void): void {
  let rest: Buffer = Buffer.alloc(0)
  const take = (chunk: Buffer): void => {
    rest = Buffer.concat([rest, chunk])
    let stopped = false
    while (!stopped && rest.length >= 5) {
      const length = 1 + rest.readInt32BE(1)
      if (rest.length < length) return
      const message = rest.subarray(0, length)
      rest = rest.subarray(length)
      visit(message, String.fromCharCode(message[0] as number), () => {
        stopped = true
        socket.off('data', take)
        if (rest.length > 0) socket.unshift(rest)
        return socket
      })
    }
  }
  socket.on('data', take)
}

function textAt(message: Buffer, start: number): { readonly text: string; readonly end: number } {
  const end = message.indexOf(0, start)
  return { text: message.toString('utf8', start, end), end: end + 1 }
}

function isPlainSelect(sql: string, volatile: ReadonlySet<string>): boolean {
  const text = sql
    .replaceAll(/--[^\n]*/g, '')
    .replace(/;\s*$/, '')
    .trim()
    .toLowerCase()
  if (!text.startsWith('select') || text.includes(';') || /\bfor (update|share|no key|key share)\b/.test(text))
    return false
  return [...text.matchAll(/([a-z_0-9]+)\s*\(/g)].every(([, name]) => !volatile.has(name as string))
}

async function volatileFunctions(url: string): Promise<ReadonlySet<string>> {
  const { rows } = await withClient(url, (client) =>
    client.query<{ name: string }>(`select distinct proname::text as name from pg_proc where provolatile = 'v'`),
  )
  return new Set(rows.map(({ name }) => name))
}
