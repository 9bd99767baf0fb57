import { startSide } from '../lib/child.js'
import { createDatabase } from '../lib/database.js'
import { countingProxy } from '../lib/proxy.js'
import { childOptions } from '../lib/round.js'
import { type Bench, type BenchContext, type Side } from '../lib/types.js'

/** What a dispatcher asks of a database in which nothing happens. */
export const idle: Bench = {
  name: 'idle',
  unit: 'statements/min',
  about:
    'statements of an idle dispatcher, heartbeats included, leases of 15 s: at most 10 a minute and 1 for each lane',
  rounds: 1,
  limits: [
    { side: 'waybill', most: 11 },
    { side: 'waybill-4-lanes', most: 14 },
  ],
  async sides(context) {
    return [side(context, 'waybill', 1), side(context, 'waybill-4-lanes', 4)]
  },
}

function side(context: BenchContext, name: string, lanes: number): Side {
  const seconds = context.options.seconds ?? 180
  return {
    name,
    async run() {
      const database = await createDatabase(context.server, { schema: true })
      const proxy = await countingProxy(database.url)
      try {
        const input = { url: proxy.url, lanes, seconds, asleep: true }
        const process = await startSide(childOptions(context, 'dispatcher', input))
        // falling asleep is over, and the first heartbeat of the sleep too
        await new Promise((resolve) => setTimeout(resolve, 15_000))
        proxy.take()
        const { cpuMicros, more } = await process.measure()
        const statements = proxy.take()
        const kinds = new Map<string, number>()
        for (const text of statements) {
          const kind = text
            .replace(/^(\s*--.*\n)+/, '')
            .replaceAll(/\s+/g, ' ')
            .slice(0, 70)
          kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
        }
        for (const [kind, n] of [...kinds].sort((a, b) => b[1] - a[1])) console.log(`  ${name}: ${n} × ${kind}`)
        const cpu = cpuMicros / 1000 / (seconds / 60)
        return { value: statements.length / (seconds / 60), more: { 'CPU ms/min': cpu, 'RSS MiB': more['rss'] ?? 0 } }
      } finally {
        await proxy.close()
        await database.drop()
      }
    },
  }
}
