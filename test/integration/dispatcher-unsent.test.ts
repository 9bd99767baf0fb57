import { setImmediate as nextTurn } from 'node:timers/promises'
import type pg from 'pg'
import { expect, it } from 'vitest'
import type { Outcome } from '../../src/adapters/contract.js'
import { useDatabase } from '../support/database.js'
import { publish, ScriptedAdapter, startDispatcher } from '../support/dispatching.js'
import { waitFor } from '../support/wait-for.js'

const database = useDatabase()

it('sends a parked delivery after an outage that began while its message was read again', async () => {
  const { pool } = database()
  const bad = await publish(pool, 'order.created', {}, { key: 'bad' })
  const slow = await publish(pool, 'order.created', {}, { key: 'slow' })
  const adapter = new ScriptedAdapter({ maxBatch: 1 })
  let answerSlow: (outcome: Outcome) => void = () => undefined
  const slowAnswer = new Promise<Outcome>((resolve) => (answerSlow = resolve))
  const attempts = new Map<string, number>()
  adapter.answer = ({ id }) => {
    const attempt = (attempts.get(id) ?? 0) + 1
    attempts.set(id, attempt)
    if (attempt > 1) return { kind: 'delivered' }
    return id === bad ? { kind: 'retry', failure: { code: 'HTTP_500', message: 'no' } } : slowAnswer
  }
  let reads = 0
  const dispatcher = await startDispatcher({
    pool: intercept(pool, async (text) => {
      // What is parked is read again by seq, just before it is sent: there the other message says that all is down.
      if (!text.includes('m.seq = any($1::bigint[])') || reads++ > 0) return
      answerSlow({ kind: 'pause', failure: { code: 'HTTP_502', message: 'bad gateway' } })
      await nextTurn()
    }),
    destinations: { crm: { adapter } },
  })
  try {
    await waitFor(() => adapter.delivered.length >= 2, { timeoutMs: 5000, what: 'both deliveries' })
    expect(reads).toBeGreaterThan(0)
    expect(adapter.ids().sort()).toEqual([bad, slow].sort())
  } finally {
    await dispatcher.stop({ drainMs: 1000 })
  }
})

/** The pool, with something that happens after each statement and before its answer is handed on. */
function intercept(pool: pg.Pool, before: (text: string) => Promise<void>): pg.Pool {
  const query = async (...args: [{ text: string } | string, ...unknown[]]): Promise<unknown> => {
    const result: unknown = await (pool.query as (...args: unknown[]) => Promise<unknown>).apply(pool, args)
    await before(typeof args[0] === 'string' ? args[0] : args[0].text)
    return result
  }
  return new Proxy(pool, {
    get: (target, name) => {
      if (name === 'query') return query
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}
