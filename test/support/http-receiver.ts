import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer, type ServerOptions as TlsOptions } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { onFileEnd } from './cleanup.js'
import { patienceMs, waitFor } from './wait-for.js'

export interface ReceivedRequest {
  /** In the order in which the requests arrived, from 0. */
  readonly index: number
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  /** The bytes as they came over the wire. */
  readonly body: Buffer
  /** Milliseconds on the monotonic clock (`performance.now()`) at which the head arrived. */
  readonly arrivedAt: number
}

export interface Answer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | string[]>>
  readonly body?: string | Buffer
  readonly delayMs?: number
  /** After head and body: the end (usual), silence, or a cut connection. */
  readonly then?: 'end' | 'hang' | 'destroy'
}

/** 'hang' takes the request and never answers; 'destroy' cuts the connection in place of an answer. */
export type Reply = Answer | 'hang' | 'destroy'
export type Responder = (request: ReceivedRequest) => Reply | Promise<Reply>

export interface HttpReceiver {
  readonly url: string
  readonly port: number
  /** What was received whole so far, in order of arrival. */
  received(): readonly ReceivedRequest[]
  waitForCount(count: number, timeoutMs?: number): Promise<readonly ReceivedRequest[]>
  /** Replaces the responder from the next request on. */
  respondWith(responder: Responder | Reply): void
  /** Connections open right now. */
  openConnections(): number
  forget(): void
  close(): Promise<void>
}

export interface ReceiverOptions {
  readonly port?: number
  readonly tls?: TlsOptions
  /** Keeps what was received, for `received` and `waitForCount`. Default true; false for a load of hours. */
  readonly keep?: boolean
}

/** A scriptable HTTP server on the loopback interface; closed when the file ends. */
export async function startHttpReceiver(
  responder: Responder | Reply = {},
  options: ReceiverOptions = {},
): Promise<HttpReceiver> {
  let respond = asResponder(responder)
  let requests: (ReceivedRequest | undefined)[] = []
  const sockets = new Set<Socket>()
  const { keep = true } = options
  let count = 0

  const handle = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const arrivedAt = performance.now()
    const mine = requests
    // The place is taken when the head arrives, so that a slow body doesn't change the order.
    const index = keep ? mine.push(undefined) - 1 : count++
    const chunks: Buffer[] = []
    for await (const chunk of incoming) chunks.push(chunk as Buffer)
    const { method = '', url = '', headers, rawHeaders } = incoming
    const request = { index, method, url, headers, rawHeaders, body: Buffer.concat(chunks), arrivedAt }
    if (keep) mine[index] = request
    await answer(response, await respond(request))
  }
  const listener = (incoming: IncomingMessage, response: ServerResponse) =>
    // Fails when the sender goes away in the middle, or when a responder throws: both end the connection.
    void handle(incoming, response).catch(() => response.destroy())
  const server = options.tls === undefined ? createServer(listener) : createTlsServer(options.tls, listener)
  // Keep-alive is the sender's to end: the default of 5 s would add resets that no test asked for.
  server.keepAliveTimeout = 0
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo

  const received = () => requests.filter((request) => request !== undefined)
  const close = async () => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    for (const socket of sockets) socket.destroy()
    await closed
  }
  onFileEnd(close)
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    port,
    received,
    async waitForCount(count, timeoutMs = patienceMs) {
      await waitFor(() => received().length >= count, { timeoutMs, what: `request ${count} at the receiver` })
      return received()
    },
    respondWith(next) {
      respond = asResponder(next)
    },
    openConnections: () => sockets.size,
    forget() {
      requests = []
    },
    close,
  }
}

async function answer(response: ServerResponse, reply: Reply): Promise<void> {
  if (reply === 'hang') return
  if (reply === 'destroy') return void response.destroy()
  if (reply.delayMs !== undefined) await sleep(reply.delayMs)
  response.writeHead(reply.status ?? 200, { ...reply.headers })
  const finish = reply.then ?? 'end'
  if (finish === 'end') return void response.end(reply.body)
  response.flushHeaders()
  if (reply.body !== undefined) await new Promise((resolve) => response.write(reply.body, resolve))
  if (finish === 'destroy') response.destroy()
}

function asResponder(responder: Responder | Reply): Responder {
  return typeof responder === 'function' ? responder : () => responder
}
