import { peer } from '../lib/peers.js'
import { serveSide } from '../lib/side.js'

interface Boss {
  on(event: 'error', listener: (error: Error) => void): void
  start(): Promise<unknown>
  stop(options?: object): Promise<void>
  fetch(queue: string, options: { batchSize: number }): Promise<{ id: string }[]>
  complete(queue: string, ids: string[]): Promise<unknown>
}

/** Fetch and complete by 500, several loops at once. */
await serveSide<{ url: string; messages: number; batch: number; loops: number }>(async ({ url, batch, loops }) => {
  const { PgBoss } = await peer<{ PgBoss: new (options: object) => Boss }>('pg-boss')
  const boss = new PgBoss({ connectionString: url, max: 10, supervise: false, schedule: false, migrate: false })
  boss.on('error', (error) => console.error(error))
  await boss.start()
  return {
    async run() {
      const loop = async (): Promise<number> => {
        let messages = 0
        for (;;) {
          const jobs = await boss.fetch('orders', { batchSize: batch })
          if (jobs.length === 0) return messages
          await boss.complete(
            'orders',
            jobs.map(({ id }) => id),
          )
          messages += jobs.length
        }
      }
      const moved = await Promise.all(Array.from({ length: loops }, loop))
      return { messages: moved.reduce((sum, n) => sum + n, 0) }
    },
    close: () => boss.stop({ graceful: false }),
  }
})
