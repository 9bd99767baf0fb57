import { randomBytes } from 'node:crypto'
import { connect, type ChannelModel } from 'amqplib'
import { runSide } from '../lib/child.js'
import { fillLog } from '../lib/database.js'
import { childOptions, databaseSide, rate } from '../lib/round.js'
import { type Bench } from '../lib/types.js'

/** What Waybill adds to the broker's own cost. */
export const rabbitmq: Bench = {
  name: 'rabbitmq',
  unit: 'messages/s',
  about: 'from the log to a quorum queue, confirmed, against amqplib alone with 1,000 in flight',
  rounds: 5,
  goals: [{ side: 'waybill', than: 'amqplib', least: 0.7 }],
  async sides(context) {
    const messages = context.options.messages ?? 50_000
    const amqp = await context.service('rabbitmq')
    const connection: ChannelModel = await connect(amqp)
    context.onEnd(() => connection.close())
    const channel = await connection.createChannel()
    let queue = ''
    const freshQueue = async (): Promise<void> => {
      if (queue !== '') await channel.deleteQueue(queue)
      queue = `waybill.bench.${randomBytes(5).toString('hex')}`
      await channel.assertQueue(queue, { durable: true, arguments: { 'x-queue-type': 'quorum' } })
    }
    context.onEnd(async () => void (await channel.deleteQueue(queue)))
    return [
      databaseSide(context, {
        name: 'waybill',
        side: 'deliver-waybill',
        schema: true,
        async fill(database) {
          await freshQueue()
          await fillLog(database, messages)
        },
        input: () => ({ messages, kind: 'rabbitmq', settings: { url: amqp, exchange: '', routingKey: queue } }),
      }),
      {
        name: 'amqplib',
        async run() {
          await freshQueue()
          return rate(await runSide(childOptions(context, 'raw-rabbitmq', { amqp, queue, messages })))
        },
      },
    ]
  },
}
