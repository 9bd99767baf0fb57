import type { GetMessage } from 'amqplib'
import type { Adapter } from '../../src/adapters/contract.js'
import { rabbitmqAdapter } from '../../src/adapters/rabbitmq/index.js'
import { type RabbitmqOptions, rabbitmqSettings } from '../../src/config/destinations/rabbitmq.js'
import { type HalfOpenProxy, startHalfOpenProxy } from '../support/half-open-proxy.js'
import { amqpUrl, createTestExchange, createTestQueue, openChannel } from '../support/rabbitmq.js'
import type { ConnectedDestination, Received } from './destination.js'

export const silentLogger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
}

export function rabbitAdapter(options: RabbitmqOptions, destination = 'rabbit'): Adapter {
  const settings = rabbitmqSettings.parse({ connectTimeout: '2s', confirmTimeout: '2s', ...options })
  return rabbitmqAdapter.create(settings, { destination, logger: silentLogger })
}

/** A topic exchange with one queue that takes everything, behind a proxy. */
export async function rabbitDestination(
  options: Partial<RabbitmqOptions> = {},
): Promise<
  ConnectedDestination & { readonly exchange: string; readonly queue: string; readonly proxy: HalfOpenProxy }
> {
  const exchange = await createTestExchange('topic')
  const queue = await createTestQueue()
  const channel = await openChannel()
  await channel.bindQueue(queue.name, exchange.name, '#')
  const proxy = await startHalfOpenProxy({ port: Number(new URL(amqpUrl()).port) })
  const arrived: Received[] = []
  return {
    exchange: exchange.name,
    queue: queue.name,
    proxy,
    makeAdapter: () => rabbitAdapter({ url: proxy.through(amqpUrl()), exchange: exchange.name, ...options }),
    async received() {
      for (;;) {
        const next = await channel.get(queue.name, { noAck: true })
        if (next === false) return arrived
        arrived.push(asReceived(next))
      }
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
      await channel.close()
      await Promise.all([queue.delete(), exchange.delete()])
    },
  }
}

function asReceived({ properties, content }: GetMessage): Received {
  const headers = { ...properties.headers } as Record<string, string>
  return {
    id: properties.messageId as string,
    topic: properties.type as string,
    key: headers['key'] ?? null,
    payload: content,
    headers,
  }
}
