import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { Transform } from 'node:stream'
import type { Adapter } from '../../src/adapters/contract.js'
import { kafkaAdapter } from '../../src/adapters/kafka/index.js'
import { type KafkaOptions, kafkaSettings } from '../../src/config/destinations/kafka.js'
import { onFileEnd } from '../support/cleanup.js'
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { kcatConsume } from '../support/kcat.js'
import { createTestTopic, kafkaBrokers } from '../support/kafka.js'
import type { ConnectedDestination } from './destination.js'
import { silentLogger } from './rabbitmq-fixture.js'

export function kafkaTestAdapter(options: KafkaOptions): Adapter {
  const settings = kafkaSettings.parse({ connectionTimeout: '1500ms', requestTimeout: '1500ms', ...options })
  return kafkaAdapter.create(settings, { destination: 'kafka', logger: silentLogger })
}

/**
 * A proxy for Kafka. A client asks a broker where the brokers are and goes there, past any plain proxy; so between the
 * proxy and the broker, the broker's address in what it answers is replaced by the proxy's. Host and port keep their
 * length (`"127.0.0.1"` and four bytes), so frames stay whole.
 */
export async function startKafkaProxy(): Promise<HalfOpenProxy> {
  const [broker] = kafkaBrokers()
  const real = new URL(`kafka://${broker ?? ''}`)
  const advertised = address(real.hostname, Number(real.port))
  let replacement = advertised
  const sockets = new Set<Socket>()
  const server = createServer((client) => {
    const upstream = connect(Number(real.port), real.hostname)
    const rewrite = new Transform({
      transform: (chunk: Buffer, _, done) => done(null, replaceAll(chunk, advertised, replacement)),
    })
    for (const socket of [client, upstream]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        upstream.destroy()
        sockets.delete(socket)
      })
    }
    client.pipe(upstream)
    upstream.pipe(rewrite).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onFileEnd(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const proxy = await startHalfOpenProxy({ port: (server.address() as AddressInfo).port })
  replacement = address(real.hostname, proxy.port)
  return proxy
}

/** A broker's address as Metadata v6 and older have it: length and text of the host, then the port. */
function address(host: string, port: number): Buffer {
  const bytes = Buffer.alloc(2 + host.length + 4)
  bytes.writeInt16BE(host.length, 0)
  bytes.write(host, 2)
  bytes.writeInt32BE(port, 2 + host.length)
  return bytes
}

function replaceAll(chunk: Buffer, wanted: Buffer, replacement: Buffer): Buffer {
  for (let at = chunk.indexOf(wanted); at >= 0; at = chunk.indexOf(wanted, at + 1)) replacement.copy(chunk, at)
  return chunk
}

/** A topic with some partitions, behind a proxy, and read with kcat, which shares no code with the adapter. */
export async function kafkaDestination(
  options: Partial<KafkaOptions> & { readonly partitions?: number } = {},
): Promise<ConnectedDestination & { readonly topic: string; readonly proxy: HalfOpenProxy }> {
  const { partitions = 3, ...settings } = options
  const topic = await createTestTopic({ partitions, config: { 'max.message.bytes': '3000000' } })
  const proxy = await startKafkaProxy()
  return {
    topic: topic.name,
    proxy,
    makeAdapter: () => kafkaTestAdapter({ brokers: [`127.0.0.1:${proxy.port}`], topic: topic.name, ...settings }),
    async received() {
      const records = await kcatConsume(topic.name)
      return records.map(({ key, payload, headers }) => {
        const named = Object.fromEntries(headers.map(([name, value]) => [name, value ?? '']))
        return {
          id: named['id'] ?? '',
          topic: named['topic'] ?? '',
          key: key === null ? null : key.toString('utf8'),
          payload: payload ?? Buffer.alloc(0),
          headers: named,
        }
      })
    },
    breakDestination() {
      proxy.refuse()
      proxy.cut()
    },
    healDestination: () => proxy.restore(),
    stallDestination: () => proxy.swallow(),
    connections: () => proxy.connections(),
    async cleanup() {
      await proxy.close()
      await topic.delete()
    },
  }
}
