import { setTimeout as sleep } from 'node:timers/promises'
import { randomOf } from '../../../scripts/demo/receiver.js'
import { withClient } from '../../support/with-client.js'
import { type Fault, healed } from '../faults/fault.js'
import { drainQueue } from '../receivers.js'
import { untilAllDelivered } from '../run.js'
import { type OpenScene, openScene } from '../scene.js'
import { type Stage, untilDelivered } from '../stage.js'
import { tally } from '../tally.js'
import { atRest } from './at-rest.js'
import { type ProcessSample, type Sample, lagOf, lookAtDatabase, lookAtProcesses } from './samples.js'
import { type CpuTimes, readCpuTimes, sharesOf } from './machine.js'
import { type Stretch, highestFlat, stretch } from './rate.js'
import { type Strike, drawn, strikeAndRecover } from './strikes.js'
import { type SoakResult, baseline, baselineMs, complaintsOf } from './verdict.js'

export interface SoakOptions {
  readonly seed: string
  /** Of load and faults, after the highest rate was found. */
  readonly minutes: number
  /** Transactions a second; undefined: a share of the highest at which the lag stays flat, which is looked for first. */
  readonly rate: number | undefined
  readonly faults: readonly Fault[]
  /** From the start of one fault to the start of the next, where recovery took no longer. */
  readonly everyMs: number
  /** Ends the run; the report says how far it came. */
  readonly signal: AbortSignal
  readonly say: (text: string) => void
}

/** Half: what a lease lets lie is caught up with within another. */
const rateShare = 0.5
const stretchMs = 10_000
const clients = 16
const minuteMs = 60_000
/** Never killed: the first of the dispatchers. */
const spared = 1

/** The highest rate at which the lag stays flat; most of it for the time asked for, under faults; then everything is counted. */
export async function soak(stage: Stage, options: SoakOptions): Promise<SoakResult> {
  const { seed, faults } = options
  const opened = await openScene(stage, {
    ...{ faults, spared, maintenance: true, random: randomOf(`${seed}/faults`) },
    load: { random: randomOf(`${seed}/load`), rate: options.rate ?? 1, clients },
  })
  try {
    const run = new Run(opened, options)
    await run.toItsEnd()
    return await run.result()
  } finally {
    await opened.close()
  }
}

class Run {
  readonly #opened: OpenScene
  readonly #o: SoakOptions
  readonly #stretches: Stretch[] = []
  readonly #strikes: Strike[] = []
  readonly #samples: Sample[] = []
  readonly #troubles: string[] = []
  #highest: number | null = null
  /** While the highest rate was looked for. */
  #stolenAtRate: number | null = null
  #startedAt = performance.now()
  #endedAt: number | undefined
  #cpuBefore: CpuTimes | undefined
  #stoppedMs = 0

  constructor(opened: OpenScene, options: SoakOptions) {
    this.#opened = opened
    this.#o = options
  }

  /** Rejects never: what went wrong is told by the result. */
  async toItsEnd(): Promise<void> {
    const { load, scene } = this.#opened
    try {
      load.rate = this.#o.rate ?? (await this.#findRate())
      this.#cpuBefore = await readCpuTimes()
      this.#startedAt = performance.now()
      load.start()
      await this.#strikeOnAndOn()
    } catch (error) {
      if (!this.#o.signal.aborted) this.#troubles.push(String(error))
    }
    this.#endedAt = performance.now()
    try {
      await healed(scene)
      await load.stop()
      this.#say('load and faults have ended; everything is to be delivered')
      await untilAllDelivered(scene)
      this.#say('everything is delivered; the dispatchers are stopped')
    } catch (error) {
      this.#troubles.push(String(error))
    }
    const stopping = performance.now()
    await scene.fleet.stop()
    this.#stoppedMs = Math.round(performance.now() - stopping)
  }

  async result(): Promise<SoakResult> {
    const { scene, load } = this.#opened
    this.#say('counting')
    const { seed, minutes, everyMs, signal } = this.#o
    const ranMs = Math.round((this.#endedAt ?? this.#startedAt) - this.#startedAt)
    const counted = {
      ...{ seed, minutes, everyMs, ranMs, interrupted: signal.aborted },
      ...{ rate: load.rate, highestRate: this.#highest, stretches: this.#stretches, stolenAtRate: this.#stolenAtRate },
      machine: this.#cpuBefore ? sharesOf(this.#cpuBefore, await readCpuTimes()) : null,
      ...{ strikes: this.#strikes, samples: this.#samples, troubles: this.#troubles },
      ...{ published: load.published, stoppedMs: this.#stoppedMs, ...(await tally(scene, load)) },
    }
    return { ...counted, complaints: complaintsOf(counted) }
  }

  async #findRate(): Promise<number> {
    const { load, scene } = this.#opened
    const { signal } = this.#o
    const { url } = scene.set.cluster
    const before = await readCpuTimes()
    this.#highest = await withClient(url, (client) =>
      highestFlat(async (rate) => {
        const source = {
          begin: (asked: number) => {
            load.rate = asked
            load.start()
          },
          begun: () => load.published,
          lag: () => lagOf(client),
          end: async () => {
            await load.stop()
            await untilDelivered(url, 2 * minuteMs)
          },
        }
        const tried = await stretch(source, rate, stretchMs, signal)
        this.#stretches.push(tried)
        const verdict = tried.gave === null ? 'flat' : `not flat (${tried.gave})`
        this.#say(
          `${rate} transactions/s: ${tried.begun.toFixed(0)} begun, lag ${tried.lag}, growing by ${tried.growth.toFixed(1)}/s: ${verdict}`,
        )
        return tried
      }),
    )
    this.#stolenAtRate = sharesOf(before, await readCpuTimes()).stolen
    const taken = Math.max(1, Math.round(rateShare * this.#highest))
    this.#say(`the lag stays flat up to ${this.#highest} transactions/s; ${taken} from here on`)
    return taken
  }

  async #strikeOnAndOn(): Promise<void> {
    const { minutes, everyMs, faults, signal } = this.#o
    const { scene } = this.#opened
    const endAt = this.#startedAt + minutes * minuteMs
    const next = drawn(faults, scene.random)
    await this.#until(this.#startedAt + everyMs / 2)
    await this.#sample()
    for (let at = this.#startedAt + everyMs; at < endAt; at += everyMs) {
      if (performance.now() > at) continue // the last one took its time to recover
      await this.#until(at)
      const fault = next.next().value as Fault
      const strike = await strikeAndRecover(fault, scene, this.#startedAt)
      this.#strikes.push(strike)
      const [lasted, recovered] = [strike.lastedMs / 1000, strike.recoveredMs / 1000]
      this.#say(`${fault.name}: ${lasted.toFixed(1)} s, recovered ${recovered.toFixed(1)} s later`)
      signal.throwIfAborted()
      if (performance.now() - this.#startedAt >= (this.#samples.length * minutes * minuteMs) / this.#sampleCount) {
        const compared = performance.now() - this.#startedAt >= baselineMs(minutes) && !baseline(this.#samples)
        await this.#sample(compared)
        await this.#emptyQueue()
      }
    }
    await this.#until(endAt)
    await this.#sample(true)
  }

  /** Every minute, and at least one for each sixth of the time. */
  get #sampleCount(): number {
    return Math.max(6, Math.round(this.#o.minutes))
  }

  /** `compared`: memory is looked at in a state that is the same each time. */
  async #sample(compared = false): Promise<void> {
    const { scene, load } = this.#opened
    const atMs = Math.round(performance.now() - this.#startedAt)
    const database = await lookAtDatabase(scene.set.url)
    const look = (): Promise<ProcessSample[]> => lookAtProcesses(scene.fleet)
    const processes = await (compared ? atRest(scene, load, look) : look())
    const checkerRss = process.memoryUsage().rss
    this.#samples.push({ atMs, processes, ...database, atRest: compared, checkerRss })
    const heaps = processes.map(({ heapUsed, rss }) => `heap ${mib(heapUsed)}, rss ${mib(rss)} MiB`)
    const rest = compared ? ' at rest' : ''
    this.#say(
      `${load.committed} committed, lag ${database.lag}; ${heaps.join('; ')}${rest}; checker ${mib(checkerRss)} MiB`,
    )
  }

  /** What a consumer would have taken out by now: half an hour of messages is no queue that anybody has. */
  async #emptyQueue(): Promise<void> {
    const { stage, set } = this.#opened.scene
    set.drained.addAll(await drainQueue(stage.rabbit.url, set.name))
  }

  async #until(at: number): Promise<void> {
    await sleep(Math.max(0, at - performance.now()), undefined, { signal: this.#o.signal })
  }

  #say(text: string): void {
    const seconds = Math.round((performance.now() - this.#startedAt) / 1000)
    const clock = `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`
    this.#o.say(`${clock} ${text}`)
  }
}

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(1)
