import { randomBytes } from 'node:crypto'
import kafkajs from 'kafkajs'
import { createTopic } from '../../scripts/services/kafka-topics.js'
import { runSide } from '../lib/child.js'
import { fillLog } from '../lib/database.js'
import { childOptions, databaseSide, rate } from '../lib/round.js'
import { type Bench } from '../lib/types.js'

const numPartitions = 4

/** What Waybill adds to the broker's own cost. */
export const kafka: Bench = {
  name: 'kafka',
  unit: 'messages/s',
  about: 'from the log to a topic of 4 partitions, acks -1, one request in flight for each, against kafkajs alone',
  rounds: 5,
  goals: [{ side: 'waybill', than: 'kafkajs', least: 0.7 }],
  async sides(context) {
    const messages = context.options.messages ?? 100_000
    const brokers = (await context.service('kafka')).split(',')
    const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin()
    await admin.connect()
    context.onEnd(() => admin.disconnect())
    let topic = ''
    const deleteTopic = async (): Promise<void> => {
      if (topic !== '') await admin.deleteTopics({ topics: [topic] })
    }
    const freshTopic = async (): Promise<void> => {
      await deleteTopic()
      topic = `waybill.bench.${randomBytes(5).toString('hex')}`
      await createTopic(admin, { topic, numPartitions, replicationFactor: 1 })
    }
    context.onEnd(deleteTopic)
    return [
      databaseSide(context, {
        name: 'waybill',
        side: 'deliver-waybill',
        schema: true,
        async fill(database) {
          await freshTopic()
          await fillLog(database, messages)
        },
        input: () => ({ messages, kind: 'kafka', settings: { brokers, topic } }),
      }),
      {
        name: 'kafkajs',
        async run() {
          await freshTopic()
          return rate(await runSide(childOptions(context, 'raw-kafka', { brokers, topic, messages, batch: 1000 })))
        },
      },
    ]
  },
}
