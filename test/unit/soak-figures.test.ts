import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { randomOf } from '../../scripts/demo/receiver.js'
import { ArrivalLog } from '../proof/arrival-log.js'
import { median, slope } from '../proof/soak/figures.js'
import type { Fault } from '../proof/faults/fault.js'
import { type Stretch, highestFlat, judgeStretch } from '../proof/soak/rate.js'
import type { ProcessSample, Sample } from '../proof/soak/samples.js'
import { drawn, repeatable } from '../proof/soak/strikes.js'
import { type SoakFigures, complaintsOf, recoveryMs } from '../proof/soak/verdict.js'

const mebi = 2 ** 20

describe('slope and median', () => {
  it('a line has its own slope, wherever it lies', () => {
    fc.assert(
      fc.property(fc.integer({ min: -50, max: 50 }), fc.integer(), (rise, base) => {
        const line = [0, 1, 2, 5, 9].map((x) => ({ x, y: base + rise * x }))
        expect(slope(line)).toBeCloseTo(rise)
      }),
    )
  })

  it('one stall does not tilt it, and a rise that stays does', () => {
    const flat = Array.from({ length: 20 }, (_, x) => ({ x, y: 5 + (x % 3) }))
    expect(Math.abs(slope([...flat, { x: 20, y: 4000 }]))).toBeLessThan(0.5)
    expect(slope(flat.map(({ x, y }) => ({ x, y: y + 10 * x })))).toBeCloseTo(10, 0)
  })

  it('of nothing there is none', () => {
    expect([slope([]), slope([{ x: 1, y: 7 }]), median([])]).toEqual([0, 0, 0])
    expect([median([3, 1, 2]), median([4, 1, 2, 3])]).toEqual([2, 2.5])
  })
})

describe('the highest rate at which the lag stays flat', () => {
  const line = (rise: number, base = 0) => Array.from({ length: 20 }, (_, x) => ({ x, y: base + rise * x }))

  it('a stretch is flat when its lag neither grows nor is more than a second of messages', () => {
    expect(judgeStretch(100, 99, line(9)).gave).toBeNull()
    expect(judgeStretch(100, 99, line(11)).gave).toBe('lag')
    expect(judgeStretch(100, 99, line(0, 101)).gave).toBe('lag')
    expect(judgeStretch(100, 89, line(0)).gave).toBe('clients')
  })

  const stretchOf = (rate: number, flat: boolean): Stretch => ({
    ...{ rate, begun: rate, growth: 0, lag: 0 },
    gave: flat ? null : 'lag',
  })

  it('is found from below, to a fifth', async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 25, max: 6000 }), async (limit) => {
        const found = await highestFlat((rate) => Promise.resolve(stretchOf(rate, rate <= limit)))
        expect(found).toBeLessThanOrEqual(limit)
        expect(found * 1.2).toBeGreaterThan(limit)
      }),
    )
  })

  it('one stretch that a busy machine spoils is tried again', async () => {
    const tried = new Set<number>()
    const stumbling = (rate: number): Promise<Stretch> => {
      const again = tried.has(rate)
      tried.add(rate)
      return Promise.resolve(stretchOf(rate, again && rate <= 200))
    }
    expect(await highestFlat(stumbling)).toBe(200)
  })

  it('a machine on which nothing is flat is told', async () => {
    await expect(highestFlat((rate) => Promise.resolve(stretchOf(rate, false)))).rejects.toThrow('not flat at 25')
  })
})

describe('faults are drawn', () => {
  const draw = (seed: string, n: number): string[] => {
    const faults = drawn(repeatable, randomOf(seed))
    return Array.from({ length: n }, () => (faults.next().value as Fault).name)
  }

  it('each as often as any other, and for a seed in the same order', () => {
    const two = draw('7', 2 * repeatable.length)
    expect([...two].sort()).toEqual([...repeatable, ...repeatable].map(({ name }) => name).sort())
    expect(draw('7', 2 * repeatable.length)).toEqual(two)
    expect(draw('8', 2 * repeatable.length)).not.toEqual(two)
  })
})

describe('a log of arrivals', () => {
  it('gives back what was added, in its order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ id: fc.uuid(), key: fc.option(fc.string()), version: fc.nat() }), { maxLength: 50 }),
        (records) => {
          const arrivals = records.map(({ id, key, version }) => ({ id, key: key ?? id, version }))
          const log = new ArrivalLog()
          log.addAll(arrivals)
          expect([log.length, [...log]]).toEqual([arrivals.length, arrivals])
        },
      ),
    )
  })

  it('grows, is emptied, and takes nothing but UUIDs', () => {
    const log = new ArrivalLog()
    const arrivals = Array.from({ length: 3000 }, (_, version) => ({
      id: randomUUID(),
      key: `key-${version % 7}`,
      version,
    }))
    log.addAll(arrivals)
    expect([...log]).toEqual(arrivals)
    log.clear()
    expect([...log]).toEqual([])
    for (const id of ['undefined', `${'0'.repeat(31)}g`]) {
      expect(() => log.add({ id, key: 'a', version: 1 })).toThrow('is not a UUID')
    }
  })
})

describe('what a soak is judged by', () => {
  const process = (heapUsed: number, descriptors = 40): ProcessSample => ({
    ...{ dispatcher: 0, descriptors, heapUsed },
    ...{ rss: 0, heapTotal: 0, external: 0, arrayBuffers: 0 },
  })
  const table = (name: string, rows: number, bytes: number) => ({ name, rows, bytes, dead: 0 })
  const sampleAt = (minute: number, changed: Partial<Sample> = {}): Sample => ({
    ...{ atMs: minute * 60_000, processes: [process(80 * mebi)], positions: 1000 * minute, sessions: 20, lag: 30 },
    ...{ tables: [table('lanes', 8, 65_536), table('deliveries', 0, 65_536)], checkerRss: 0 },
    atRest: minute === 5 || minute === 30,
    ...changed,
  })
  const minutes = [1, 5, 6, 12, 18, 24, 30]
  const destination = (name: string) => ({
    ...{ destination: name, wanted: 100, delivered: 100, lost: 0, phantoms: 0, takenBack: 0, duplicates: 0 },
    outOfOrder: name === 'jobs' ? null : 0,
  })
  const fine: SoakFigures = {
    ...{ seed: '1', minutes: 30, everyMs: 20_000, ranMs: 1_800_000, interrupted: false },
    ...{ rate: 100, highestRate: null, stretches: [], machine: null, troubles: [], published: 100, committed: 100 },
    stoppedMs: 900,
    stolenAtRate: null,
    strikes: [{ fault: 'kill', atMs: 20_000, lastedMs: 10, recoveredMs: 5900, stolen: 0.1 }],
    samples: minutes.map((minute) => sampleAt(minute)),
    destinations: ['webhook', 'rabbitmq', 'kafka', 'jobs'].map(destination),
    duplicatesAllowed: 10,
    jobsTwiceAllowed: 0,
  }
  const last = (changed: Partial<Sample>): Partial<SoakFigures> => ({
    samples: [...fine.samples.slice(0, -1), sampleAt(30, changed)],
  })
  const counted = (name: string, changed: object): Partial<SoakFigures> => ({
    destinations: fine.destinations.map((each) => (each.destination === name ? { ...each, ...changed } : each)),
  })

  it('a run that is as promised has no complaints', () => {
    expect(complaintsOf(fine)).toEqual([])
  })

  it.each<[string, Partial<SoakFigures>, RegExp]>([
    ['a heap that grew by more than a tenth', last({ processes: [process(89 * mebi)] }), /^heap of dispatcher 0/],
    ['descriptors that are not given back', last({ processes: [process(80 * mebi, 57)] }), /^descriptors/],
    ['sessions beyond the pools', last({ sessions: 34 }), /^sessions at 1800 s: 34, and 33 at most/],
    ['a lane too many', last({ tables: [table('lanes', 9, 65_536)] }), /^rows of lanes/],
    ['dead versions of lanes', last({ tables: [table('lanes', 8, 2 * mebi)] }), /^bytes of lanes/],
    ['parked rows that stay', last({ tables: [table('deliveries', 801, 65_536)] }), /^rows of deliveries/],
    ['positions that no sweep takes', last({ tables: [table('positions', 20_000, 65_536)] }), /^rows of positions/],
    ['a slow recovery', { strikes: [{ ...fine.strikes[0]!, recoveredMs: 6100 }] }, /^kill: recovered after 6100 ms/],
    ['something lost', counted('kafka', { lost: 1 }), /^kafka, lost: 1/],
    ['something invented', counted('webhook', { phantoms: 1 }), /^webhook, phantoms/],
    ['disorder', counted('rabbitmq', { outOfOrder: 1 }), /^rabbitmq, out of order/],
    ['a job twice', counted('jobs', { duplicates: 1 }), /^jobs, duplicates/],
    ['duplicates beyond the windows', counted('webhook', { duplicates: 11 }), /^duplicates: 11, and 10 at most/],
    ['an end that takes long', { stoppedMs: 20_001 }, /^milliseconds until the dispatchers had stopped/],
    ['nothing at all', { committed: 0 }, /^nothing was committed/],
    ['a fault that hung', { troubles: ['kill did not end'] }, /^kill did not end/],
  ])('%s is one', (_, changed, complaint) => {
    expect(complaintsOf({ ...fine, ...changed })).toEqual([expect.stringMatching(complaint)])
  })

  it('a recovery has two leases, and what its fault let lie takes as long as it does at the highest rate', () => {
    const silent = { fault: 'database-silent', atMs: 20_000, lastedMs: 8000, recoveredMs: 10_000, stolen: 0.2 }
    const slower = { ...silent, recoveredMs: 10_001 }
    const half = { ...fine, rate: 100, highestRate: 200 }
    expect(complaintsOf({ ...half, strikes: [silent] })).toEqual([])
    expect(complaintsOf({ ...half, strikes: [slower] })).toEqual([
      'database-silent: recovered after 10001 ms, not within 10000',
    ])
    expect(recoveryMs(silent, { ...fine, highestRate: null })).toBe(14_000)
  })

  it('a recovery may take longer while others have more of the machine than when the rate was found', () => {
    const figures = { ...fine, rate: 100, highestRate: 200, stolenAtRate: 0.2 }
    const strike = { fault: 'database-silent', atMs: 20_000, lastedMs: 8000, recoveredMs: 0 }
    expect([0, 0.2, 0.6].map((stolen) => recoveryMs({ ...strike, stolen }, figures))).toEqual([10_000, 10_000, 20_000])
  })

  it('lag that is higher in the later half is one', () => {
    const samples = fine.samples.map((sample, i) => ({ ...sample, lag: i < 4 ? 30 : 131 }))
    expect(complaintsOf({ ...fine, samples })).toEqual([expect.stringMatching(/^lag of the later samples/)])
  })

  it('what a heap was at rest is compared; in less than half an hour a small one may move by 6 MiB', () => {
    const small = minutes.map((minute) => sampleAt(minute, { processes: [process((minute === 5 ? 20 : 2) * mebi)] }))
    const end = (heap: number) => [...small.slice(0, -1), sampleAt(30, { processes: [process(heap * mebi)] })]
    expect(complaintsOf({ ...fine, samples: end(21.9) })).toEqual([])
    expect(complaintsOf({ ...fine, samples: end(22.1) })).toHaveLength(1)
    expect(complaintsOf({ ...fine, minutes: 29, samples: end(25.9) })).toEqual([])
    expect(complaintsOf({ ...fine, minutes: 29, samples: end(26.1) })).toHaveLength(1)
  })
})
