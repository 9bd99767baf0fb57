import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { everythingAbove } from '../../src/outbox/delta.js'
import { LogMessage } from '../../src/outbox/message.js'
import { type Entry, type LowWater, Window } from '../../src/dispatcher/lane/window.js'

/** One page of a delta: how far above the last each seq lies (0: it shares it), and where the page ends behind them. */
interface PageShape {
  readonly gaps: readonly number[]
  readonly tail: number
  /** The delta ends with this page; the next one starts lower, with its stragglers. */
  readonly last: boolean
}

const pages: fc.Arbitrary<PageShape[]> = fc.array(
  fc.record({
    gaps: fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 12, size: 'max' }),
    tail: fc.integer({ min: 0, max: 3 }),
    last: fc.boolean(),
  }),
  { minLength: 1, maxLength: 8, size: 'max' },
)

function messageAt(seq: number, n: number): LogMessage {
  return new LogMessage([String(seq), `id-${n}`, 'topic', null, '{}', null, null, '0'])
}

interface Item {
  readonly delta: number
  readonly seq: number
  readonly entry: Entry | undefined
}

function fill(window: Window, shapes: readonly PageShape[]): Item[] {
  const items: Item[] = []
  const deltaNumber = (n: number) => ({
    ...everythingAbove(0, { snapshot: '3:3:', floor: 0, ceiling: 1000 }),
    n,
  })
  let delta = deltaNumber(0)
  let seq = 0
  let n = 0
  for (const { gaps, tail, last } of shapes) {
    gaps.forEach((gap, i) => {
      // rows that share a seq come in one page: only the first of a page may not repeat
      seq += i === 0 ? Math.max(1, gap) : gap
      items.push({ delta: delta.n, seq, entry: window.add(messageAt(seq, n++), delta, 'ready') })
    })
    seq += tail
    window.endPage(delta, seq)
    items.push({ delta: delta.n, seq, entry: undefined })
    if (last) {
      delta = deltaNumber(delta.n + 1)
      seq = Math.max(0, seq - 5)
    }
  }
  return items
}

/** Whether a lane that restarts from the mark would read the item again. */
const isBehind = (item: Item, mark: LowWater): boolean =>
  item.delta < mark.delta.n || (item.delta === mark.delta.n && item.seq <= mark.after)

describe('the window', () => {
  it('stores no mark that passes an unsettled message, twins of one seq among them, and ends at the last page end', () => {
    fc.assert(
      fc.property(pages, fc.infiniteStream(fc.nat()), fc.infiniteStream(fc.boolean()), (shapes, picks, passes) => {
        const window = new Window()
        const items = fill(window, shapes)
        const open = items.flatMap((item) => item.entry ?? [])
        let stored: LowWater | undefined
        const look = (): void => {
          const mark = window.advance()
          if (mark) {
            const earlier = stored
            if (earlier) {
              const forward =
                mark.delta.n > earlier.delta.n || (mark.delta.n === earlier.delta.n && mark.after >= earlier.after)
              expect(forward, 'the mark never goes back').toBe(true)
            }
            stored = mark
          }
          const unsettled = items.filter(({ entry }) => entry && entry.state !== 'settled' && !entry.passed)
          const [first] = unsettled
          expect(window.first?.ordinal).toBe(first?.entry?.ordinal)
          if (stored) for (const item of unsettled) expect(isBehind(item, stored)).toBe(false)
        }
        look()
        while (open.length > 0) {
          const [entry] = open.splice((picks.next().value as number) % open.length, 1)
          if (!entry) continue
          // written down as in flight counts as settled: the cursor may pass it
          if (passes.next().value) entry.state = 'settled'
          else Object.assign(entry, { state: 'sending', passed: true })
          look()
        }
        const end = items.at(-1)
        expect(window.size).toBe(0)
        expect({ delta: stored?.delta.n, after: stored?.after }).toEqual({ delta: end?.delta, after: end?.seq })
      }),
    )
  })

  it('lets memory go while it moves on for ever', () => {
    const window = new Window()
    const delta = everythingAbove(0, { snapshot: '3:3:', floor: 0, ceiling: 1_000_000 })
    for (let seq = 1; seq <= 20_000; seq++) {
      const entry = window.add(messageAt(seq, seq), delta, 'ready')
      entry.state = 'settled'
      expect(window.advance()?.after).toBe(seq)
    }
    expect(window.size).toBe(0)
    expect(window.first).toBeUndefined()
  })
})
