import kafkajs from 'kafkajs'
import { samples } from '../lib/sample.js'
import { serveSide } from '../lib/side.js'

interface Input {
  readonly brokers: string[]
  readonly topic: string
  readonly messages: number
  readonly batch: number
}

/** kafkajs alone: acknowledged by all in-sync replicas, one request in flight for a partition, the same headers. */
await serveSide<Input>(async ({ brokers, topic, messages, batch }) => {
  const all = samples(messages)
  const kafka = new kafkajs.Kafka({ brokers, clientId: 'raw', logLevel: kafkajs.logLevel.NOTHING })
  const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
  await producer.connect()
  return {
    async run() {
      for (let at = 0; at < all.length; at += batch) {
        const records = all.slice(at, at + batch).map(({ id, key, payload }) => ({
          key,
          value: payload,
          headers: { 'message-id': id, topic: 'order.created', 'content-type': 'application/json' },
        }))
        await producer.send({ topic, acks: -1, messages: records })
      }
      return { messages }
    },
    close: () => producer.disconnect(),
  }
})
