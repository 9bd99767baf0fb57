import { connect } from 'amqplib'
import { samples } from '../lib/sample.js'
import { serveSide } from '../lib/side.js'

/** amqplib alone: persistent, mandatory, confirmed, 1,000 in flight, the same properties. */
await serveSide<{ amqp: string; queue: string; messages: number }>(async ({ amqp, queue, messages }) => {
  const all = samples(messages)
  const connection = await connect(amqp, { noDelay: true })
  const channel = await connection.createConfirmChannel()
  const window = 1000
  const timestamp = Math.floor(Date.now() / 1000)
  return {
    run: () =>
      new Promise((resolve, reject) => {
        let next = 0
        let confirmed = 0
        let writable = true
        const pump = (): void => {
          while (writable && next < all.length && next - confirmed < window) {
            const { id, key, payload } = all[next++] as (typeof all)[number]
            const properties = {
              mandatory: true,
              persistent: true,
              contentType: 'application/json',
              messageId: id,
              type: 'order.created',
              timestamp,
              headers: { key },
            }
            writable = channel.publish('', queue, Buffer.from(payload), properties, (error: unknown) => {
              if (error !== null) return reject(new Error('nacked'))
              if (++confirmed === all.length) resolve({ messages: confirmed })
              else pump()
            })
          }
        }
        channel.on('drain', () => {
          writable = true
          pump()
        })
        pump()
      }),
    close: () => connection.close(),
  }
})
