import {
  connect,
  type Channel,
  type ChannelModel,
  type ConfirmChannel,
  type ConsumeMessage,
  type Options,
} from 'amqplib'
import { onFileEnd } from './cleanup.js'
import { serviceUrl, uniqueName } from './services.js'
import { patienceMs, waitFor } from './wait-for.js'

export interface TestQueue {
  readonly name: string
  delete(): Promise<void>
}

export const amqpUrl = () => serviceUrl('rabbitmq')
export const amqpManagementUrl = () => serviceUrl('management')

let shared: Promise<ChannelModel> | undefined

/** The test's own connection, one for each file; the code under test makes its own. */
export function rabbitConnection(): Promise<ChannelModel> {
  shared ??= connect(amqpUrl(), { timeout: 5000 }).then((connection) => {
    connection.on('error', () => undefined)
    connection.on('close', () => (shared = undefined))
    onFileEnd(() => connection.close().catch(() => undefined))
    return connection
  })
  return shared
}

export async function openChannel(): Promise<ConfirmChannel> {
  const channel = await (await rabbitConnection()).createConfirmChannel()
  channel.on('error', () => undefined)
  return channel
}

/** A durable queue under a name of its own, deleted when the file ends. */
export async function createTestQueue(options: Options.AssertQueue = {}): Promise<TestQueue> {
  const name = uniqueName('waybill.test.queue')
  await withChannel((channel) => channel.assertQueue(name, { durable: true, ...options }))
  const remove = () => withChannel(async (channel) => void (await channel.deleteQueue(name)))
  onFileEnd(remove)
  return { name, delete: remove }
}

/** A durable exchange under a name of its own, deleted when the file ends. */
export async function createTestExchange(
  type: 'direct' | 'topic' | 'fanout' | 'headers' = 'topic',
): Promise<TestQueue> {
  const name = uniqueName('waybill.test.exchange')
  await withChannel((channel) => channel.assertExchange(name, type, { durable: true }))
  const remove = () => withChannel(async (channel) => void (await channel.deleteExchange(name)))
  onFileEnd(remove)
  return { name, delete: remove }
}

/** Takes `count` messages from a queue, in order, and acknowledges them. */
export async function consumeQueue(name: string, count: number, timeoutMs = patienceMs): Promise<ConsumeMessage[]> {
  return withChannel(async (channel) => {
    const messages: ConsumeMessage[] = []
    await channel.prefetch(count)
    const { consumerTag } = await channel.consume(name, (message) => {
      if (message === null || messages.length === count) return
      messages.push(message)
      channel.ack(message)
    })
    await waitFor(() => messages.length === count, { timeoutMs, what: `message ${count} of queue ${name}` })
    await channel.cancel(consumerTag)
    return messages
  })
}

/** Messages that are ready in a queue. */
export async function queueDepth(name: string): Promise<number> {
  return withChannel(async (channel) => (await channel.checkQueue(name)).messageCount)
}

/** On a channel of its own: an error of the broker closes the whole channel, and no other test's with it. */
async function withChannel<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
  const channel = await (await rabbitConnection()).createChannel()
  channel.on('error', () => undefined)
  try {
    return await work(channel)
  } finally {
    await channel.close().catch(() => undefined)
  }
}
