import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Barrier, type Treatment, deltasUpTo, nextStretch } from '../../src/outbox/barriers/course.js'
import { type Delta, type Tick, followingDelta, startingAt } from '../../src/outbox/delta.js'
import { isVisibleIn, parseSnapshot } from '../../src/outbox/snapshot.js'

/** Transactions that publish one message each, begin in the order of their xids and commit in any. */
class Log {
  #next = 10
  readonly running: number[] = []
  readonly committed: number[] = []

  begin(): void {
    this.running.push(this.#next++)
  }

  commit(which: number): void {
    const [xid] = this.running.splice(which % Math.max(1, this.running.length), 1)
    if (xid !== undefined) this.committed.push(xid)
  }

  tick(): Tick {
    const xmin = Math.min(this.#next, ...this.running)
    return { snapshot: `${xmin}:${this.#next}:${this.running.join(',')}`, floor: 0, ceiling: this.#next }
  }

  /** What a delta reads. */
  read({ from, to }: Delta): number[] {
    const [before, now] = [parseSnapshot(from.snapshot), parseSnapshot(to.snapshot)]
    return this.committed.filter((xid) => !isVisibleIn(String(xid), before) && isVisibleIn(String(xid), now))
  }
}

const treatment = (generation: number): Treatment => ({ patterns: [`g${generation}`], order: 'key', onDead: 'hold' })
const generationOf = ({ patterns }: Treatment): number => Number(patterns[0]?.slice(1))

type Step =
  | { readonly do: 'begin' | 'deploy' | 'deploy elsewhere' | 'read' | 'read and crash' | 'tick' | 'plan' }
  | { readonly do: 'commit'; readonly which: number }

const steps = fc.array(
  fc.oneof(
    { weight: 6, arbitrary: fc.constant<Step>({ do: 'begin' }) },
    { weight: 6, arbitrary: fc.nat(20).map<Step>((which) => ({ do: 'commit', which })) },
    {
      weight: 8,
      arbitrary: fc
        .constantFrom<Exclude<Step['do'], 'commit'>[]>(
          'deploy',
          'deploy elsewhere',
          'read',
          'read and crash',
          'tick',
          'plan',
        )
        .map<Step>((name) => ({ do: name })),
    },
  ),
  { minLength: 1, maxLength: 80 },
)

describe('a lane and the barriers of deployments', () => {
  it('treats what a barrier sees as before it, the rest as after it, and reads all of it once', () => {
    fc.assert(
      fc.property(steps, (run) => {
        const log = new Log()
        const barriers: Barrier[] = []
        /** The treatment of each message, as the barriers have it. */
        const expected = (xid: number): number =>
          barriers.find(({ tick }) => isVisibleIn(String(xid), parseSnapshot(tick.snapshot)))?.before === undefined
            ? deployed
            : generationOf(
                (barriers.find(({ tick }) => isVisibleIn(String(xid), parseSnapshot(tick.snapshot))) as Barrier).before,
              )
        const start = startingAt(log.tick())
        let position = { delta: start, after: start.to.ceiling }
        let planned: Delta[] = []
        let generation = 1
        /** The latest generation that changed how this destination is treated. */
        let deployed = 1
        const got: { xid: number; as: number }[] = []

        /** One lane, opened for what it reads next: a stretch, or, where nothing stops it, up to a fresh tick. */
        const open = (crashes: boolean): void => {
          const left = planned.filter(({ n }) => n > position.delta.n)
          const stretch = nextStretch(position, left, barriers)
          const deltas = [...stretch.planned]
          if (!stretch.stops && left.length === 0)
            deltas.push(followingDelta(deltas.at(-1) ?? position.delta, log.tick(), generation))
          for (const delta of deltas) {
            if (crashes) return
            for (const xid of log.read(delta))
              got.push({ xid, as: stretch.before ? generationOf(stretch.before) : deployed })
            position = { delta, after: delta.to.ceiling }
          }
        }
        for (const step of run) {
          if (step.do === 'begin') log.begin()
          if (step.do === 'commit') log.commit(step.which)
          if (step.do === 'deploy') {
            generation++
            barriers.push({ generation, before: treatment(deployed), tick: log.tick() })
            deployed = generation
          }
          if (step.do === 'deploy elsewhere') generation++
          if (step.do === 'read' || step.do === 'tick') open(false)
          if (step.do === 'read and crash') open(true)
          if (step.do === 'plan' && planned.every(({ n }) => n <= position.delta.n))
            planned = deltasUpTo(position, barriers, { ...log.tick(), generation })
        }
        while (log.running.length > 0) log.commit(0)
        for (let i = 0; i < barriers.length + planned.length + 2; i++) open(false)
        expect(got.map(({ xid }) => xid).sort((a, b) => a - b)).toEqual([...log.committed].sort((a, b) => a - b))
        for (const { xid, as } of got) expect({ xid, as }).toEqual({ xid, as: expected(xid) })
      }),
      { numRuns: 2000 },
    )
  })
})
