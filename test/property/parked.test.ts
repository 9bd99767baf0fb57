import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type ParkedEntry, type ParkedRules, ParkedSet } from '../../src/dispatcher/lane/parked.js'

type Action =
  | { readonly kind: 'park'; readonly key: number | null; readonly after: number }
  | { readonly kind: 'send'; readonly limit: number }
  | { readonly kind: 'answer'; readonly pick: number; readonly how: 'delivered' | 'retry' | 'dead' | 'unanswered' }
  | { readonly kind: 'operate'; readonly pick: number; readonly how: 'retry' | 'drop' }
  | { readonly kind: 'wait'; readonly ms: number }

const actions: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    kind: fc.constant('park' as const),
    key: fc.option(fc.integer({ min: 0, max: 2 })),
    after: fc.integer({ min: 0, max: 50 }),
  }),
  fc.record({ kind: fc.constant('send' as const), limit: fc.integer({ min: 1, max: 4 }) }),
  fc.record({
    kind: fc.constant('answer' as const),
    pick: fc.nat(),
    how: fc.constantFrom('delivered', 'retry', 'dead', 'unanswered'),
  }),
  fc.record({ kind: fc.constant('operate' as const), pick: fc.nat(), how: fc.constantFrom('retry', 'drop') }),
  fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 60 }) }),
)

const rules = fc.record({
  order: fc.constantFrom<ParkedRules['order']>('key', 'none'),
  onDead: fc.constantFrom<ParkedRules['onDead']>('hold', 'release'),
})

/** A lane's use of the set, and what must hold at each step. */
class Model {
  readonly set: ParkedSet
  readonly entries = new Set<ParkedEntry>()
  now = 0
  #seq = 0

  constructor(readonly rules: ParkedRules) {
    this.set = new ParkedSet(rules)
  }

  run(action: Action): void {
    switch (action.kind) {
      case 'park':
        return this.park(action.key === null ? null : `k${action.key}`, this.now + action.after)
      case 'send':
        return void this.send(action.limit)
      case 'wait':
        this.now += action.ms
        return
      case 'answer': {
        const sending = [...this.entries].filter((entry) => entry.sending)
        const entry = sending[action.pick % Math.max(1, sending.length)]
        if (entry) this.answer(entry, action.how)
        return
      }
      case 'operate': {
        const idle = [...this.entries].filter((entry) => !entry.sending)
        const entry = idle[action.pick % Math.max(1, idle.length)]
        if (entry) this.operate(entry, action.how)
        return
      }
      default:
        action satisfies never
    }
  }

  park(key: string | null, dueAt: number): void {
    const seq = ++this.#seq
    const state = this.set.holds(key) ? 'held' : 'retrying'
    const flags = { sending: false, dirty: 0, convicted: false, code: null, message: undefined }
    const entry: ParkedEntry = { seq, id: `m${seq}`, topic: 't', key, state, attempt: 0, dueAt, ...flags }
    this.entries.add(entry)
    this.set.add(entry)
  }

  send(limit: number): ParkedEntry[] {
    const due = this.set.due(this.now, limit)
    this.#check(due, limit)
    for (const entry of due) entry.sending = true
    return due
  }

  answer(entry: ParkedEntry, how: 'delivered' | 'retry' | 'dead' | 'unanswered'): void {
    entry.sending = false
    if (how === 'delivered') return this.remove(entry)
    if (how === 'dead') entry.state = 'dead'
    else if (how === 'retry') entry.state = 'retrying'
    entry.dueAt = this.now + (how === 'retry' ? 20 : 5)
    this.set.touch(entry)
  }

  operate(entry: ParkedEntry, how: 'retry' | 'drop'): void {
    this.remove(entry)
    if (how === 'drop') return
    if (entry.state === 'dead') entry.state = 'retrying'
    entry.dueAt = this.now
    this.entries.add(entry)
    this.set.add(entry)
  }

  remove(entry: ParkedEntry): void {
    this.entries.delete(entry)
    this.set.remove(entry)
  }

  /** Entries that hold their key: the later ones of it must wait. */
  holders(): ParkedEntry[] {
    if (this.rules.order === 'none') return []
    const holds = (entry: ParkedEntry): boolean => !(entry.state === 'dead' && this.rules.onDead === 'release')
    return [...this.entries].filter((entry) => entry.key !== null && holds(entry))
  }

  /** What may be sent now, by the rules and nothing else. */
  mayBeSent(): ParkedEntry[] {
    const holders = this.holders()
    return [...this.entries].filter((entry) => {
      if (entry.sending || entry.state === 'dead' || entry.dueAt > this.now) return false
      const before = (other: ParkedEntry): boolean =>
        other.key === entry.key && other !== entry && (other.sending || other.seq < entry.seq)
      return !(entry.key !== null && holders.some(before))
    })
  }

  #check(due: ParkedEntry[], limit: number): void {
    const may = this.mayBeSent()
    expect(due.filter((entry) => !may.includes(entry)).map((entry) => entry.id)).toEqual([])
    expect(due.length, 'as many as may be sent, up to the limit').toBe(Math.min(limit, may.length))
    if (this.rules.order === 'key') {
      const keys = due.flatMap((entry) => entry.key ?? [])
      expect(new Set(keys).size, 'one of a key').toBe(keys.length)
    }
    for (const key of ['k0', 'k1', 'k2']) {
      expect(this.set.holds(key), key).toBe(this.holders().some((entry) => entry.key === key))
    }
    expect(this.set.size).toBe(this.entries.size)
  }
}

describe('parked deliveries', () => {
  it('are due when the rules say so: one of a key at a time, the oldest first, whatever operators do', () => {
    fc.assert(
      fc.property(rules, fc.array(actions, { maxLength: 80, size: 'max' }), (set, list) => {
        const model = new Model(set)
        for (const action of list) {
          model.run(action)
          // the clock that a lane sleeps by never passes something that may be sent
          const may = model.mayBeSent()
          if (may.length > 0) expect(model.set.nextDue).toBeLessThanOrEqual(model.now)
        }
      }),
      { numRuns: 500 },
    )
  })

  it('all get out in seq order for each key once everything is delivered and the dead are retried', () => {
    fc.assert(
      fc.property(rules, fc.array(actions, { maxLength: 60, size: 'max' }), (set, list) => {
        const model = new Model(set)
        for (const action of list) model.run(action)
        for (const entry of [...model.entries]) if (entry.sending) model.answer(entry, 'unanswered')
        for (const entry of [...model.entries]) if (entry.state === 'dead') model.operate(entry, 'retry')
        const out: ParkedEntry[] = []
        for (let i = 0; model.entries.size > 0 && i < 1000; i++) {
          model.now += 10
          for (const entry of model.send(3)) {
            out.push(entry)
            model.answer(entry, 'delivered')
          }
        }
        expect(model.entries.size).toBe(0)
        expect(model.set.nextDue, 'nothing is due any more').toBeGreaterThanOrEqual(0)
        if (set.order === 'none') return
        for (const key of ['k0', 'k1', 'k2']) {
          const seqs = out.filter((entry) => entry.key === key).map((entry) => entry.seq)
          expect(seqs, key).toEqual([...seqs].sort((a, b) => a - b))
        }
      }),
    )
  })

  it('wait for their own changes to be committed', () => {
    const model = new Model({ order: 'key', onDead: 'hold' })
    model.park('k0', 0)
    const [entry] = [...model.entries]
    if (!entry) throw new Error('no entry')
    entry.dirty = 1
    expect(model.set.due(10, 5)).toEqual([])
    entry.dirty = 0
    expect(model.set.due(10, 5)).toEqual([entry])
  })
})
