import { createDatabase, fillLog } from '../lib/database.js'
import { runSide } from '../lib/child.js'
import { childOptions } from '../lib/round.js'
import { type Bench, type BenchContext, type Side } from '../lib/types.js'

/** Resident memory of a dispatcher's process. */
export const memory: Bench = {
  name: 'memory',
  unit: 'MiB',
  about: 'resident memory of a dispatcher: at its most while it drains (also 1 MiB payloads, without a goal), and idle',
  rounds: 3,
  limits: [
    { side: 'waybill', most: 200 },
    { side: 'waybill-idle', most: 100 },
  ],
  async sides(context) {
    const messages = context.options.messages ?? 400_000
    return [
      drainSide(context, 'waybill', messages, (database) => fillLog(database, messages)),
      drainSide(context, 'waybill-large-payloads', 400, async (database) => {
        // 400 of 1 MiB, which does not compress well
        await database.query(
          `insert into waybill.messages (id, topic, key, payload)
           select gen_random_uuid(), 'order.created', 'k' || g, to_json(left(string_agg(md5(random()::text), ''), 1048000))
             from generate_series(1, 400) g, generate_series(1, 32760) i group by g order by g`,
        )
      }),
      idleSide(context),
    ]
  },
}

function drainSide(
  context: BenchContext,
  name: string,
  messages: number,
  fill: (database: Awaited<ReturnType<typeof createDatabase>>) => Promise<void>,
): Side {
  return {
    name,
    async run() {
      const database = await createDatabase(context.server, { schema: true })
      try {
        await fill(database)
        await database.settle()
        const input = { url: database.url, messages }
        const { maxRssMiB, cpuMicros } = await runSide(childOptions(context, 'drain-waybill', input))
        return { value: maxRssMiB, cpuMicros }
      } finally {
        await database.drop()
      }
    },
  }
}

function idleSide(context: BenchContext): Side {
  return {
    name: 'waybill-idle',
    async run() {
      const database = await createDatabase(context.server, { schema: true })
      try {
        const input = { url: database.url, lanes: 1, seconds: context.options.seconds ?? 20, asleep: true }
        const { more } = await runSide(childOptions(context, 'dispatcher', input))
        return { value: more['rss'] ?? NaN }
      } finally {
        await database.drop()
      }
    },
  }
}
