import { leaseMs } from '../faults/fault.js'
import { dispatchers, shards, window } from '../scene.js'
import type { Tally } from '../tally.js'
import { median } from './figures.js'
import type { MachineShares } from './machine.js'
import type { Stretch } from './rate.js'
import type { Sample, TableSample } from './samples.js'
import type { Strike } from './strikes.js'

export interface SoakFigures extends Tally {
  readonly seed: string
  /** That were asked for. */
  readonly minutes: number
  readonly everyMs: number
  /** Of load and faults. */
  readonly ranMs: number
  readonly interrupted: boolean
  /** Transactions a second. */
  readonly rate: number
  /** At which the lag stayed flat without faults; null where the rate was given. */
  readonly highestRate: number | null
  readonly stretches: readonly Stretch[]
  /** Share of the machine's cores that others had while that rate was looked for; null where it was given. */
  readonly stolenAtRate: number | null
  readonly machine: MachineShares | null
  readonly strikes: readonly Strike[]
  readonly samples: readonly Sample[]
  /** What went wrong before it could be measured. */
  readonly troubles: readonly string[]
  readonly published: number
  /** From SIGTERM until the last dispatcher had ended. */
  readonly stoppedMs: number
}

export interface SoakResult extends SoakFigures {
  /** What is not as promised, in words; none: the soak passed. */
  readonly complaints: readonly string[]
}

/** Something that is measured, and the most that it may be then. */
interface Bounded {
  readonly what: string
  readonly value: number
  readonly bound: number
}

const mebi = 2 ** 20
const lanes = 4 * shards
/** Of the heap, from the sixth part of the time to the end. */
const heapGrowth = 0.1
/** In a shorter run growth below it counts as none: code that faults make run for the first time takes some MiB. */
const heapNoise = 6 * mebi
const longMinutes = 30
/** `drainMs`, by default, and as much to close. */
const stopMs = 20_000
/** Connections to the partner, which come and go with its load: `concurrency` of each of its lanes. */
const descriptorNoise = 8 * shards
/** Of the pool (its default), and the listener. */
const sessionsEach = 10 + 1
/** Positions that a sweep leaves for each lane. */
const keptPositions = 100
/** Two sweeps, five minutes apart: a fault may have kept one from its work. */
const sweptMs = 2 * 300_000

/** When memory is looked at for the comparison with the end: the sixth part of the time, minute 5 of 30. */
export function baselineMs(minutes: number): number {
  return minutes * 10_000
}

/** The sample of that time. */
export function baseline(samples: readonly Sample[]): Sample | undefined {
  return samples.find(({ atRest }) => atRest)
}

export function complaintsOf(figures: SoakFigures): string[] {
  return [
    ...figures.troubles,
    ...complaintsOfTally(figures),
    ...complaintsOfTime(figures),
    ...complaintsOfGrowth(figures),
  ]
}

/**
 * How long recovery from a strike may take: two leases, and for what was published while it lasted, and may all be
 * waiting, the time that it takes at the highest rate. Where others had more of the machine than when that rate was found,
 * everything may take longer by as much.
 */
export function recoveryMs({ lastedMs, stolen }: Strike, { rate, highestRate, stolenAtRate }: SoakFigures): number {
  const slower = Math.max(1, (1 - (stolenAtRate ?? stolen)) / (1 - stolen))
  return Math.round(slower * (2 * leaseMs + lastedMs * Math.min(1, rate / (highestRate ?? rate))))
}

/** Recoveries that took too long, lag that is higher in the later half, and an end that took long. */
function complaintsOfTime(figures: SoakFigures): string[] {
  const { strikes, samples, rate, stoppedMs } = figures
  const half = Math.ceil(samples.length / 2)
  const [early, late] = [samples.slice(0, half), samples.slice(half)].map((part) => median(part.map(({ lag }) => lag)))
  const lag = { what: 'lag of the later samples, messages', value: late ?? 0, bound: (early ?? 0) + rate }
  return [
    ...strikes
      .map((strike) => ({ ...strike, allowedMs: recoveryMs(strike, figures) }))
      .filter(({ recoveredMs, allowedMs }) => recoveredMs > allowedMs)
      .map(
        ({ fault, recoveredMs, allowedMs }) => `${fault}: recovered after ${recoveredMs} ms, not within ${allowedMs}`,
      ),
    ...inWords(samples.length > 1 ? [lag] : []),
    ...inWords([{ what: 'milliseconds until the dispatchers had stopped', value: stoppedMs, bound: stopMs }]),
  ]
}

/** What grew beyond its bounds: memory and descriptors of dispatchers, sessions and tables of the database. */
export function complaintsOfGrowth(figures: SoakFigures): string[] {
  return inWords([...boundsOfProcesses(figures), ...figures.samples.flatMap((_, i) => boundsOfDatabase(figures, i))])
}

const inWords = (figures: readonly Bounded[]): string[] =>
  figures
    .filter(({ value, bound }) => value > bound)
    .map(({ what, value, bound }) => `${what}: ${value}, and ${bound} at most`)

/** What was lost, invented, doubled beyond the windows or out of order. */
export function complaintsOfTally({ committed, destinations, duplicatesAllowed }: Tally): string[] {
  const counts = destinations.flatMap(({ destination, lost, phantoms, outOfOrder, duplicates }) => [
    { what: `${destination}, lost`, value: lost, bound: 0 },
    { what: `${destination}, phantoms`, value: phantoms, bound: 0 },
    { what: `${destination}, out of order`, value: outOfOrder ?? 0, bound: 0 },
    ...(destination === 'jobs' ? [{ what: 'jobs, duplicates', value: duplicates, bound: 0 }] : []),
  ])
  const duplicates = destinations.reduce((sum, each) => sum + each.duplicates, 0)
  const all = [...counts, { what: 'duplicates', value: duplicates, bound: duplicatesAllowed }]
  return [...(committed === 0 ? ['nothing was committed'] : []), ...inWords(all)]
}

/** Of the dispatchers that lived through all of it. */
function boundsOfProcesses(figures: SoakFigures): Bounded[] {
  const before = baseline(figures.samples)
  const after = figures.samples.findLast(({ atRest }) => atRest)
  if (!before || !after || before === after) return []
  return after.processes.flatMap((last, i) => {
    const first = before.processes[i]
    if (!first) return []
    const noise = figures.minutes < longMinutes ? heapNoise : 0
    const heap = Math.round(first.heapUsed + Math.max(heapGrowth * first.heapUsed, noise))
    const whose = `of dispatcher ${last.dispatcher} at the end`
    return [
      { what: `heap ${whose}, bytes`, value: last.heapUsed, bound: heap },
      { what: `descriptors ${whose}`, value: last.descriptors, bound: first.descriptors + descriptorNoise },
    ]
  })
}

/** Sessions, rows and bytes of one sample. */
function boundsOfDatabase({ samples }: SoakFigures, index: number): Bounded[] {
  const sample = samples[index]
  if (!sample) return []
  const earlier = samples.findLast(({ atMs }) => atMs <= sample.atMs - sweptMs)
  const positions = lanes * keptPositions + sample.positions - (earlier?.positions ?? 0)
  const most = (table: TableSample): { rows: number; bytes: number } | undefined => {
    switch (table.name) {
      case 'lanes':
        return { rows: lanes, bytes: mebi }
      case 'deliveries':
        return { rows: lanes * window, bytes: 8 * mebi }
      case 'positions':
        return { rows: positions, bytes: mebi + 2 * bytesOfPosition * positions }
      case 'deltas':
        return { rows: positions, bytes: mebi + 2 * bytesOfDelta * positions }
      default:
        return undefined
    }
  }
  const at = `at ${Math.round(sample.atMs / 1000)} s`
  return [
    { what: `sessions ${at}`, value: sample.sessions, bound: dispatchers * sessionsEach },
    ...sample.tables.flatMap((table) => {
      const bound = most(table)
      if (!bound) return []
      return [
        { what: `rows of ${table.name} ${at}`, value: table.rows, bound: bound.rows },
        { what: `bytes of ${table.name} ${at}`, value: table.bytes, bound: bound.bytes },
      ]
    }),
  ]
}

/** With their indexes. */
const bytesOfPosition = 150
const bytesOfDelta = 400
