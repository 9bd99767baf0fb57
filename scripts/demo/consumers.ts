import { connect } from 'amqplib'
import kafkajs from 'kafkajs'
import { createTopic } from '../services/kafka-topics.js'
import { arrivalOf } from './receiver.js'
import type { Arrival } from './verdict.js'

/** Something behind a broker that reads what Waybill sent there. */
export interface Consumer {
  readonly arrivals: readonly Arrival[]
  /** Stops, and removes what the demo made on the broker. */
  close(): Promise<void>
}

/** Reads a queue. Exchange and binding are declared by the configuration of the example. */
export async function consumeRabbit(url: string, exchange: string, queue: string): Promise<Consumer> {
  const connection = await connect(url, { timeout: 5000 })
  const channel = await connection.createChannel()
  await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
  const arrivals: Arrival[] = []
  await channel.consume(queue, (message) => {
    if (message === null) return
    arrivals.push(arrivalOf(String(message.properties.messageId), message.content))
    channel.ack(message)
  })
  return {
    arrivals,
    async close() {
      await channel.deleteQueue(queue)
      await channel.deleteExchange(exchange)
      await connection.close()
    },
  }
}

/** Makes a topic of three partitions and reads it. */
export async function consumeKafka(brokers: string, topic: string): Promise<Consumer> {
  const kafka = new kafkajs.Kafka({
    brokers: brokers.split(','),
    clientId: 'waybill-demo',
    logLevel: kafkajs.logLevel.NOTHING,
  })
  const admin = kafka.admin()
  await admin.connect()
  await createTopic(admin, { topic, numPartitions: 3, replicationFactor: 1 })
  const consumer = kafka.consumer({ groupId: topic, retry: { retries: 20 } })
  const arrivals: Arrival[] = []
  // A consumer that is thrown out of its group reads records again: that is one record, not two.
  const read = new Set<string>()
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ partition, message }) => {
      const place = `${partition}/${message.offset}`
      if (message.value === null || read.has(place)) return
      read.add(place)
      arrivals.push(arrivalOf(String(message.headers?.['id']), message.value))
    },
  })
  return {
    arrivals,
    async close() {
      await consumer.disconnect()
      await admin.deleteTopics({ topics: [topic] })
      await admin.deleteGroups([topic])
      await admin.disconnect()
    },
  }
}
