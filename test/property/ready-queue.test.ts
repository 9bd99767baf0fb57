import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LogMessage } from '../../src/outbox/message.js'
import { ReadyQueue } from '../../src/dispatcher/lane/ready-queue.js'
import type { Entry } from '../../src/dispatcher/lane/window.js'

type Action =
  | { readonly kind: 'add'; readonly key: number | null }
  | { readonly kind: 'shift' }
  | { readonly kind: 'take'; readonly pick: number }
  | { readonly kind: 'settle'; readonly pick: number }
  | { readonly kind: 'putBack'; readonly pick: number }
  | { readonly kind: 'setAside'; readonly pick: number }

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('add' as const), key: fc.option(fc.nat({ max: 3 })) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('shift' as const) }) },
  ...(['take', 'settle', 'putBack', 'setAside'] as const).map((kind) => ({
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant(kind), pick: fc.nat() }),
  })),
)

function newEntry(ordinal: number, key: string | null): Entry {
  const message = new LogMessage([String(ordinal), `m${ordinal}`, 't', key, '{}', null, null, '0'])
  return {
    message,
    delta: undefined,
    ordinal,
    state: 'ready',
    sentAt: 0,
    sentNo: 0,
    parked: undefined,
    passed: false,
    dropped: false,
  }
}

describe('the ready queue', () => {
  it('hands out each message once, those of a key in order and, where it must, one at a time', () => {
    fc.assert(
      fc.property(fc.boolean(), fc.array(action, { maxLength: 200, size: 'max' }), (serial, actions) => {
        const queue = new ReadyQueue(serial)
        const out: Entry[] = []
        const settled: Entry[] = []
        let n = 0
        const hand = (entry: Entry | undefined, first: boolean): void => {
          if (!entry) return
          const { key } = entry.message
          const older = [...added].filter(
            (other) =>
              key !== null && other.message.key === key && other.ordinal < entry.ordinal && !settled.includes(other),
          )
          if (serial) expect(older, 'older ones of its key are settled').toEqual([])
          else if (first) expect(older.filter((other) => !out.includes(other))).toEqual([])
          out.push(entry)
        }
        const added = new Set<Entry>()
        const pickOut = (pick: number): Entry | undefined => out.splice(pick % Math.max(1, out.length), 1)[0]
        const run = (next: Action): void => {
          if (next.kind === 'add') {
            const entry = newEntry(n++, next.key === null ? null : `k${next.key}`)
            added.add(entry)
            queue.add(entry)
          } else if (next.kind === 'shift') {
            hand(queue.shift(), true)
          } else if (next.kind === 'take') {
            const choices = queue.candidates(true, () => false)
            const entry = choices[next.pick % Math.max(1, choices.length)]
            expect(choices.length > 0).toBe(queue.length > 0)
            if (entry) expect(queue.take(entry)).toBe(true)
            hand(entry, true)
          } else {
            const entry = pickOut(next.pick)
            if (!entry) return
            if (next.kind === 'putBack') queue.putBack([entry])
            else if (next.kind === 'setAside') {
              // it is kept, as the first of its key that is out, and may fail again
              const { key } = entry.message
              const first = out.every((other) => other.message.key !== key || other.ordinal > entry.ordinal)
              if (first && key !== null) queue.setAside(entry)
              out.push(entry)
            } else {
              settled.push(entry)
              queue.release(entry)
            }
          }
        }
        for (const each of actions) run(each)
        while (settled.length < n) {
          const before = out.length
          run({ kind: 'shift' })
          if (out.length === before && out.length === 0) expect.unreachable('a message was lost')
          run({ kind: 'settle', pick: 0 })
        }
        expect(new Set(settled).size).toBe(n)
        expect(queue.length).toBe(0)
      }),
      { numRuns: 300 },
    )
  })

  it('gives what was put back before what came after it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.infiniteStream(fc.nat()), (count, picks) => {
        const queue = new ReadyQueue(false)
        for (let i = 0; i < count; i++) queue.add(newEntry(i, i % 2 === 0 ? 'even' : null))
        const out = Array.from({ length: Math.ceil(count / 2) }, () => queue.shift() as Entry)
        while (out.length > 0)
          queue.putBack(
            out.splice((picks.next().value as number) % out.length, 1 + ((picks.next().value as number) % 3)),
          )
        expect(queue.length).toBe(count)
        const order = Array.from({ length: count }, () => queue.shift()?.ordinal)
        expect(order).toEqual(Array.from({ length: count }, (_, i) => i))
      }),
    )
  })
})
