import { writeFileSync } from 'node:fs'
import pg from 'pg'
import { Queue } from '../../src/queue-facade/queue.js'
import { serveSide } from '../lib/side.js'

interface Input {
  readonly url: string
  readonly messages: number
  readonly intervalMs: number
  readonly file: string
}

/** Open loop: each message has its time, whether or not those before it are through. Notes when each COMMIT returned. */
await serveSide<Input>(async ({ url, messages, intervalMs, file }) => {
  const pool = new pg.Pool({ connectionString: url, max: 16, min: 16, idleTimeoutMillis: 0 })
  const clients = await Promise.all(Array.from({ length: 16 }, () => pool.connect()))
  for (const client of clients) client.release()
  const queue = new Queue({ prepared: true })
  const at: Record<string, number> = {}
  const note = 'x'.repeat(120)

  async function publish(n: number): Promise<void> {
    const client = await pool.connect()
    try {
      await client.query('begin')
      const key = `customer-${n % 1000}`
      const id = await queue.publish('order.created', { orderId: n, customer: key, note }, { tx: client, key })
      await client.query('commit')
      at[id] = Number(process.hrtime.bigint()) / 1e6
    } finally {
      client.release()
    }
  }

  return {
    async run() {
      const start = performance.now()
      const running: Promise<void>[] = []
      for (let n = 0; n < messages; n++) {
        const wait = start + n * intervalMs - performance.now()
        if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait))
        running.push(publish(n))
      }
      await Promise.all(running)
      writeFileSync(file, JSON.stringify(at))
      return { messages }
    },
    close: () => pool.end(),
  }
})
