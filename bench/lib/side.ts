import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

/** What the process of a side says about a measured stretch. */
export interface Measured {
  readonly messages: number
  readonly seconds: number
  readonly cpuMicros: number
  /** Of the sessions of its database; undefined where that is not known. */
  readonly databaseCpuMicros: number | undefined
  readonly maxRssMiB: number
  readonly more: Readonly<Record<string, number>>
}

interface Prepared {
  /** The measured stretch; gives how many messages it moved. */
  run(): Promise<{ readonly messages: number; readonly more?: Readonly<Record<string, number>> }>
  /** Microseconds that the database's sessions ran since the side was prepared; asked once, when the clock has stopped. */
  databaseCpu?(): Promise<number | undefined>
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
  const profile = await startProfile(process.env['BENCH_PROFILE'])
  const cpu = process.cpuUsage()
  const start = performance.now()
  const { messages, more = {} } = await prepared.run()
  const seconds = (performance.now() - start) / 1000
  const used = process.cpuUsage(cpu)
  const databaseCpu = await prepared.databaseCpu?.()
  const measured: Measured = {
    messages,
    seconds,
    cpuMicros: (used.user + used.system) / Math.max(1, messages),
    databaseCpuMicros: databaseCpu === undefined ? undefined : databaseCpu / Math.max(1, messages),
    maxRssMiB: process.resourceUsage().maxRSS / 1024,
    more,
  }
  await profile()
  say({ measured })
  await prepared.close?.()
  process.exit(0)
}

/** Profiles the measured stretch alone; the file opens in any browser's developer tools. */
async function startProfile(directory: string | undefined): Promise<() => Promise<void>> {
  if (directory === undefined || directory === '') return async () => undefined
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 200 })
  await session.post('Profiler.start')
  return async () => {
    const { profile } = await session.post('Profiler.stop')
    writeFileSync(join(directory, `waybill-${process.pid}.cpuprofile`), JSON.stringify(profile))
  }
}

function say(message: object): void {
  process.stdout.write(`${JSON.stringify(message)}\n`)
}
