import kafkajs, { type Admin, type ITopicConfig, type Kafka, type KafkaMessage } from 'kafkajs'
import { createTopic } from '../../scripts/services/kafka-topics.js'
import { onFileEnd } from './cleanup.js'
import { serviceUrl, uniqueName } from './services.js'
import { patienceMs, waitFor } from './wait-for.js'

export interface TestTopic {
  readonly name: string
  delete(): Promise<void>
}

export interface ConsumedRecord {
  readonly partition: number
  readonly offset: bigint
  readonly message: KafkaMessage
}

export const kafkaBrokers = (): string[] => serviceUrl('kafka').split(',')

/** The test's own client; the code under test makes its own. */
export function kafkaClient(brokers = kafkaBrokers()): Kafka {
  return new kafkajs.Kafka({
    brokers,
    clientId: 'waybill-test',
    logLevel: kafkajs.logLevel.NOTHING,
    retry: { initialRetryTime: 50, retries: 8 },
  })
}

/** A topic under a name of its own, deleted when the file ends. */
export async function createTestTopic(
  options: {
    readonly partitions?: number
    readonly config?: Readonly<Record<string, string>>
    readonly brokers?: string[]
  } = {},
): Promise<TestTopic> {
  const name = uniqueName('waybill.test.topic')
  const topic: ITopicConfig = {
    topic: name,
    numPartitions: options.partitions ?? 1,
    replicationFactor: 1,
    configEntries: Object.entries(options.config ?? {}).map(([key, value]) => ({ name: key, value })),
  }
  await withAdmin((admin) => createTopic(admin, topic), options.brokers)
  let deleted: Promise<void> | undefined
  const remove = () => (deleted ??= withAdmin((admin) => admin.deleteTopics({ topics: [name] }), options.brokers))
  onFileEnd(remove)
  return { name, delete: remove }
}

/** Reads a topic from its beginning until `count` records have come; in order within each partition. */
export async function consumeAll(topic: string, count: number, timeoutMs = patienceMs): Promise<ConsumedRecord[]> {
  const groupId = uniqueName('waybill.test.group')
  const consumer = kafkaClient().consumer({ groupId })
  const records: ConsumedRecord[] = []
  try {
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await consumer.run({
      eachMessage: async ({ partition, message }) => {
        records.push({ partition, offset: BigInt(message.offset), message })
      },
    })
    await waitFor(() => records.length >= count, { timeoutMs, what: `record ${count} of topic ${topic}` })
    return records
  } finally {
    await consumer.disconnect()
    await withAdmin((admin) => admin.deleteGroups([groupId])).catch(() => undefined)
  }
}

export async function withAdmin<T>(work: (admin: Admin) => Promise<T>, brokers?: string[]): Promise<T> {
  const admin = kafkaClient(brokers).admin()
  await admin.connect()
  try {
    return await work(admin)
  } finally {
    await admin.disconnect()
  }
}
