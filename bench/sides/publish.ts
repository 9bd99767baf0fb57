import pg from 'pg'
import { v4, v7 } from 'uuid'
import { Queue } from '../../src/queue-facade/queue.js'
import { meterDatabase } from '../lib/database-cpu.js'
import { serveSide } from '../lib/side.js'

interface Input {
  readonly url: string
  readonly messages: number
  readonly clients: number
  /** A table of the bench, or the log. */
  readonly into: 'bare' | 'indexed' | 'waybill'
}

/** `clients` connections, each one transaction after another: a row of the application's own, and the message. */
await serveSide<Input>(async ({ url, messages, clients, into }) => {
  const queue = new Queue({ prepared: true })
  const connections = await Promise.all(
    Array.from({ length: clients }, async () => {
      const client = new pg.Client({ connectionString: url })
      await client.connect()
      return client
    }),
  )
  const order = { name: 'order', text: 'insert into orders (id, customer, total) values ($1, $2, $3)' }
  const message = {
    name: 'message',
    text: `insert into ${into} (id, topic, key, payload) values ($1, $2, $3, $4::json)`,
  }
  const note = 'x'.repeat(120)
  let begun = 0

  async function publish(client: pg.Client, orders: number): Promise<void> {
    for (let i = 0; i < orders; i++) {
      const n = begun++
      const key = `customer-${n % 1000}`
      const payload = { orderId: n, customer: key, total: '129.90', currency: 'EUR', note }
      await client.query('begin')
      await client.query({ ...order, values: [v4(), key, '129.90'] })
      if (into === 'waybill') await queue.publish('order.created', payload, { tx: client, key })
      else await client.query({ ...message, values: [v7(), 'order.created', key, JSON.stringify(payload)] })
      await client.query('commit')
    }
  }

  // connections, plans, caches and compiled code as they are after a while
  await Promise.all(connections.map((client) => publish(client, 250)))
  return {
    databaseCpu: await meterDatabase(url),
    async run() {
      const each = Math.ceil(messages / clients)
      await Promise.all(connections.map((client) => publish(client, each)))
      return { messages: each * clients }
    },
  }
})
