import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Committed, isKept, judge } from '../../scripts/demo/verdict.js'

/** Messages about two orders, as they were committed. */
const committed: Committed[] = [
  { id: 'a1', topic: 'order.created', key: 'a', version: 1 },
  { id: 'b1', topic: 'order.created', key: 'b', version: 1 },
  { id: 'a2', topic: 'order.paid', key: 'a', version: 2 },
  { id: 'a3', topic: 'order.shipped', key: 'a', version: 3 },
]
const [a1, b1, a2, a3] = committed as [Committed, Committed, Committed, Committed]
const perfect = { published: 4, delivered: 4, lost: 0, phantoms: 0, duplicates: 0, outOfOrder: 0 }

describe("the demo's verdict", () => {
  it('finds nothing wrong with what came once and in order', () => {
    expect(judge(committed, committed)).toEqual(perfect)
  })

  it('counts what never came', () => {
    const verdict = judge(committed, [a1, b1, a3])
    expect(verdict).toEqual({ ...perfect, delivered: 3, lost: 1 })
    expect(isKept(verdict)).toBe(false)
  })

  it('counts what was never committed, once, however often it came', () => {
    const phantom = { id: 'x', key: 'a', version: 9 }
    const verdict = judge(committed, [...committed, phantom, phantom])
    expect(verdict).toEqual({ ...perfect, phantoms: 1, duplicates: 1 })
    expect(isKept(verdict)).toBe(false)
  })

  it('counts first deliveries that came after a later one of their key', () => {
    const verdict = judge(committed, [a2, a1, b1, a3])
    expect(verdict).toEqual({ ...perfect, outOfOrder: 1 })
    expect(isKept(verdict)).toBe(false)
  })

  it('takes no offence at what may come and need not, and minds its order all the same', () => {
    const wanted = [a1, b1, a3]
    const kept = { ...perfect, published: 3, delivered: 3 }
    expect(judge(wanted, [a1, b1, a3], { optional: [a2] })).toEqual(kept)
    expect(judge(wanted, [a1, a2, b1, a3], { optional: [a2] })).toEqual(kept)
    expect(judge(wanted, [a1, b1, a3, a2], { optional: [a2] })).toEqual({ ...kept, outOfOrder: 1 })
  })

  it('lets a message overtake where that one need not keep order', () => {
    const arrivals = [a3, a1, b1, a2]
    expect(judge(committed, arrivals, { ordered: (id) => id !== 'a3' })).toEqual(perfect)
    expect(judge(committed, arrivals, { ordered: (id) => id !== 'a1' })).toEqual({ ...perfect, outOfOrder: 2 })
  })

  it('takes no offence at an old message that comes again', () => {
    const verdict = judge(committed, [a1, a2, a1, b1, a3, a2])
    expect(verdict).toEqual({ ...perfect, duplicates: 2 })
    expect(isKept(verdict)).toBe(true)
  })

  it('does not judge order where none is promised', () => {
    expect(judge(committed, [a3, a2, a1, b1], { ordered: false })).toEqual({ ...perfect, outOfOrder: undefined })
  })

  it('is kept exactly when every message came and no first delivery overtook another of its key', () => {
    const arrivals = fc.array(fc.constantFrom(...committed), { maxLength: 12 })
    fc.assert(
      fc.property(arrivals, (list) => {
        const firsts = list.filter((one, i) => list.indexOf(one) === i)
        const ofA = firsts.filter(({ key }) => key === 'a').map(({ version }) => version)
        const ordered = ofA.every((version, i) => i === 0 || version > (ofA[i - 1] as number))
        expect(isKept(judge(committed, list))).toBe(firsts.length === committed.length && ordered)
      }),
    )
  })
})
