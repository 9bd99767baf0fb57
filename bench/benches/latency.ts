import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startSide } from '../lib/child.js'
import { createDatabase } from '../lib/database.js'
import { childOptions } from '../lib/round.js'
import { type Bench, type BenchContext, type Side } from '../lib/types.js'

/** How long a committed message takes to be handed to its adapter. */
export const latency: Bench = {
  name: 'latency',
  unit: 'ms',
  about: 'from COMMIT returned to the receiver: at 500 messages/s, and one every 5 s that wakes a sleeping dispatcher',
  rounds: 5,
  limits: [
    { side: 'waybill', most: 50 },
    { side: 'waybill-p50', most: 10 },
    { side: 'waybill-asleep-p50', most: 15 },
    { side: 'waybill-asleep-max', most: 1000 },
  ],
  async sides(context) {
    const seconds = context.options.seconds ?? 20
    context.note('waybill is the 99th percentile at 500/s')
    const busy = measurement(context, seconds * 500, 2)
    const asleep = measurement(context, context.options.messages ?? 8, 5000)
    return [
      side('waybill', busy, 0.99),
      side('waybill-p50', busy, 0.5),
      side('waybill-asleep-p50', asleep, 0.5),
      side('waybill-asleep-max', asleep, 1),
    ]
  },
}

type Measurement = (round: number) => Promise<number[]>

function side(name: string, measure: Measurement, share: number): Side {
  return {
    name,
    async run(round) {
      const sorted = await measure(round)
      return { value: sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? NaN }
    },
  }
}

/** The latencies of a round, sorted; measured once for all sides that ask. */
function measurement(context: BenchContext, messages: number, intervalMs: number): Measurement {
  const rounds = new Map<number, Promise<number[]>>()
  return (round) => {
    const known = rounds.get(round) ?? measure(context, messages, intervalMs)
    rounds.set(round, known)
    return known
  }
}

async function measure(context: BenchContext, messages: number, intervalMs: number): Promise<number[]> {
  const database = await createDatabase(context.server, { schema: true })
  const directory = await mkdtemp(join(tmpdir(), 'waybill-latency-'))
  const received = join(directory, 'received.json')
  const published = join(directory, 'published.json')
  try {
    const input = { url: database.url, messages, intervalMs }
    const receiver = await startSide(childOptions(context, 'latency-receiver', { ...input, file: received }))
    const publisher = await startSide(childOptions(context, 'latency-publisher', { ...input, file: published }))
    await Promise.all([receiver.measure(), publisher.measure()])
    const arrivals = JSON.parse(await readFile(received, 'utf8')) as Record<string, number>
    const commits = JSON.parse(await readFile(published, 'utf8')) as Record<string, number>
    // a message may be there before its publisher hears that it is committed
    return Object.entries(commits)
      .map(([id, at]) => Math.max(0, (arrivals[id] ?? Infinity) - at))
      .sort((a, b) => a - b)
  } finally {
    await rm(directory, { recursive: true, force: true })
    await database.drop()
  }
}
