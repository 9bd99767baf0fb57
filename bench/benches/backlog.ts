import { runSide } from '../lib/child.js'
import { type BenchDatabase, createDatabase, fillLog } from '../lib/database.js'
import { childOptions } from '../lib/round.js'
import { type Bench, type BenchContext, type Run, type Side } from '../lib/types.js'

const drained = 200_000
const partitions = 30
const width = 100_000

/** Whether a large backlog slows a lane down. */
export const backlog: Bench = {
  name: 'backlog',
  unit: 'messages/s',
  about: `the first ${drained.toLocaleString('en-GB')} of 3,000,000 undelivered messages over 30 partitions, against 200,000 alone`,
  rounds: 5,
  goals: [{ side: 'waybill', than: 'small', least: 0.9 }],
  async sides(context) {
    const messages = context.options.messages ?? partitions * width
    const few = Math.min(drained, messages)
    return [await side(context, 'waybill', messages, few), await side(context, 'small', few, few)]
  },
}

/** One database for all rounds: each drains it through a destination of its own. */
async function side(context: BenchContext, name: string, messages: number, few: number): Promise<Side> {
  const database = await createDatabase(context.server, { schema: true })
  context.onEnd(() => database.drop())
  await narrowPartitions(database)
  for (let from = 0; from < messages; from += width) await fillLog(database, Math.min(width, messages - from), from)
  await database.settle()
  return {
    name,
    async run(round): Promise<Run> {
      const input = { url: database.url, messages: few, destination: `sink${round}` }
      const { cpuMicros, maxRssMiB, more } = await runSide(childOptions(context, 'backlog', input))
      await database.settle()
      const { rate, ...polls } = more
      return { value: rate ?? NaN, cpuMicros, maxRssMiB, more: polls }
    },
  }
}

/** The log is empty: its partitions give way to thirty narrow ones. */
async function narrowPartitions(database: BenchDatabase): Promise<void> {
  const { rows } = await database.query(
    `select inhrelid::regclass::text as name from pg_inherits where inhparent = 'waybill.messages'::regclass`,
  )
  for (const { name } of rows) await database.query(`drop table ${name}`)
  for (let i = 0; i < partitions; i++) {
    const low = i === 0 ? 'minvalue' : String(i * width + 1)
    await database.query(
      `create table waybill.messages_p${i * width + 1} partition of waybill.messages for values from (${low}) to (${(i + 1) * width + 1})`,
    )
  }
  await database.query(
    `create table waybill.messages_tail partition of waybill.messages for values from (${partitions * width + 1}) to (maxvalue)`,
  )
}
