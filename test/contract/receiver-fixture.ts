import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { createConnection, type AddressInfo } from 'node:net'
import type { ReceivedWebhook } from '../../src/receiver/index.js'
import { onFileEnd } from '../support/cleanup.js'

export const secret = `whsec_${Buffer.from('a secret of 24 bytes or more').toString('base64')}`
export const otherSecret = `whsec_${Buffer.from('another secret, just as long').toString('base64')}`
export const privateKey = `whsk_${Buffer.from('a seed of exactly 32 bytes, yes!').toString('base64')}`

/** What a handler was given, as far as tests look at it. */
export interface Seen {
  readonly id: string
  readonly topic: string | undefined
  readonly key: string | undefined
  readonly attempt: number | undefined
  readonly payload: unknown
  readonly city: string | undefined
}

export function seenIn({ id, topic, key, attempt, payload, headers }: ReceivedWebhook): Seen {
  return { id, topic, key, attempt, payload, city: headers['x-city'] }
}

/** A server on a port of its own, gone when the file ends. */
export async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onFileEnd(async () => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Status and JSON of the answer to a POST. */
export async function post(
  url: string,
  { headers = {}, rawBody = '{}' }: { headers?: Record<string, string>; rawBody?: string | Buffer },
): Promise<{ status: number; answer: unknown }> {
  const response = await fetch(url, { method: 'POST', headers, body: new Uint8Array(Buffer.from(rawBody)) })
  const text = await response.text()
  return { status: response.status, answer: text.startsWith('{') ? JSON.parse(text) : text }
}

/**
 * The status line that a sender gets who reads the answer when it has written everything, as many do; or the code of the
 * error that it got in place of one.
 */
export function statusAfterWriting(url: string, bytes: number): Promise<string> {
  const { hostname, port, pathname } = new URL(url)
  return new Promise((resolve) => {
    const socket = createConnection(Number(port), hostname)
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    socket.pause()
    socket.write(`POST ${pathname} HTTP/1.1\r\nhost: ${hostname}\r\ncontent-length: ${bytes}\r\n\r\n`)
    socket.write(Buffer.alloc(bytes), () => {
      socket.once('data', (answer: Buffer) => {
        resolve(answer.toString('latin1').split('\r\n')[0] ?? '')
        socket.destroy()
      })
      socket.resume()
    })
  })
}
