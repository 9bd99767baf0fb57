import { describe, it } from 'vitest'
import { kafkaDestination } from '../contract/kafka-fixture.js'
import { rabbitDestination } from '../contract/rabbitmq-fixture.js'
import { createTestDatabase } from '../support/database.js'
import type { HalfOpenProxy } from '../support/half-open-proxy.js'
import { amqpUrl } from '../support/rabbitmq.js'
import { type OutageCase, rideOut, said } from './outage-fixture.js'

type Broker = Pick<OutageCase, 'kind' | 'options' | 'arrived'> & { readonly proxy: HalfOpenProxy }

async function rabbitmq(): Promise<Broker> {
  const destination = await rabbitDestination()
  const { proxy, exchange } = destination
  return {
    kind: 'rabbitmq',
    options: { url: proxy.through(amqpUrl()), exchange, connectTimeout: '1s', confirmTimeout: '1s' },
    arrived: async () => (await destination.received()).map(({ payload }) => said(payload)),
    proxy,
  }
}

async function kafka(): Promise<Broker> {
  const destination = await kafkaDestination()
  const { proxy, topic } = destination
  const brokers = [`${proxy.host}:${proxy.port}`]
  return {
    kind: 'kafka',
    options: { brokers, topic, connectionTimeout: '1s', requestTimeout: '1s' },
    arrived: async () => (await destination.received()).map(({ payload }) => said(payload)),
    proxy,
  }
}

/** What each says of a network that is gone, and of one that swallows everything. */
describe.each([
  ['RabbitMQ', rabbitmq, /^AMQP_(CONNECTION_LOST|UNREACHABLE): /, /^AMQP_(CONFIRM_TIMEOUT|UNREACHABLE): /],
  ['Kafka', kafka, /^KAFKA_\w+: /, /^KAFKA_\w+: /],
] as const)('%s', (_, start, gone, silent) => {
  it('cuts and refuses connections: its lane waits, the others go on, and everything arrives in order', async () => {
    const { proxy, ...broker } = await start()
    await rideOut(await createTestDatabase(), {
      ...broker,
      fail: () => {
        proxy.refuse()
        proxy.cut()
      },
      heal: () => proxy.restore(),
      says: { kind: 'outage', reason: gone },
    })
  })

  it('says nothing any more: the same', async () => {
    const { proxy, ...broker } = await start()
    await rideOut(await createTestDatabase(), {
      ...broker,
      fail: () => proxy.swallow(),
      heal: () => proxy.restore(),
      says: { kind: 'outage', reason: silent },
      probes: 1,
    })
  })

  it('says nothing for longer than a slow answer may take: nothing is written down for that', async () => {
    const { proxy, ...broker } = await start()
    await rideOut(await createTestDatabase(), {
      ...broker,
      options: { ...broker.options, slowAfter: '300ms' },
      fail: () => proxy.swallow(),
      heal: () => proxy.restore(),
      says: { kind: 'outage', reason: silent },
      probes: 1,
    })
  })
})
