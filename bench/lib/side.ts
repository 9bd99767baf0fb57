import { createInterface } from 'node:readline'

/** What the process of a side says about a measured stretch. */
export interface Measured {
  readonly messages: number
  readonly seconds: number
  readonly cpuMicros: number
  readonly maxRssMiB: number
  readonly more: Readonly<Record<string, number>>
}

interface Prepared {
  /** The measured stretch; gives how many messages it moved. */
  run(): Promise<{ readonly messages: number; readonly more?: Readonly<Record<string, number>> }>
  close?(): Promise<void>
}

/**
 * The main program of a side: prepares (connects, loads modules), says so, waits for the word, and measures. Time and
 * CPU are of the stretch alone, by the monotonic clock and of this process alone.
 */
export async function serveSide<Input>(prepare: (input: Input) => Promise<Prepared>): Promise<void> {
  const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]()
  const input = JSON.parse(process.env['BENCH_INPUT'] ?? '{}') as Input
  const prepared = await prepare(input)
  say({ ready: true })
  await lines.next()
  const cpu = process.cpuUsage()
  const start = performance.now()
  const { messages, more = {} } = await prepared.run()
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  const measured: Measured = {
    messages,
    seconds,
    cpuMicros: (used.user + used.system) / Math.max(1, messages),
    maxRssMiB: process.resourceUsage().maxRSS / 1024,
    more,
  }
  say({ measured })
  await prepared.close?.()
  process.exit(0)
}

/** Waits for the next line from the bench: for sides that run until they are told to stop. */
export function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
