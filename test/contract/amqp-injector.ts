import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { onFileEnd } from '../support/cleanup.js'

export interface AmqpInjector {
  readonly port: number
  /** What the broker sends when it runs out of memory or disk, on every connection that is idle now. */
  block(reason: string): void
  unblock(): void
  connections(): number
}

const connectionClass = 10

/**
 * A TCP proxy that puts `connection.blocked` (10, 60) and `connection.unblocked` (10, 61) into the broker's stream: an
 * alarm of the broker itself would stop every other test on it.
 */
export async function startAmqpInjector(brokerPort: number): Promise<AmqpInjector> {
  const clients = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(brokerPort, '127.0.0.1')
    clients.add(client)
    for (const socket of [client, upstream]) {
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
        clients.delete(client)
      })
    }
    client.pipe(upstream).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(() => {
    for (const client of clients) client.destroy()
    server.close()
  })
  const inject = (method: number, parameters: Buffer) => {
    for (const client of clients) client.write(methodFrame(method, parameters))
  }
  return {
    port: (server.address() as AddressInfo).port,
    block: (reason) => inject(60, Buffer.concat([Buffer.from([reason.length]), Buffer.from(reason)])),
    unblock: () => inject(61, Buffer.alloc(0)),
    connections: () => clients.size,
  }
}

/** A method frame on channel 0 (AMQP 0-9-1, 4.2.3). */
function methodFrame(method: number, parameters: Buffer): Buffer {
  const frame = Buffer.alloc(7 + 4 + parameters.length + 1)
  frame.writeUInt8(1, 0)
  frame.writeUInt16BE(0, 1)
  frame.writeUInt32BE(4 + parameters.length, 3)
  frame.writeUInt16BE(connectionClass, 7)
  frame.writeUInt16BE(method, 9)
  parameters.copy(frame, 11)
  frame.writeUInt8(0xce, frame.length - 1)
  return frame
}
