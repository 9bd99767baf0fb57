import { randomUUID } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { PageStream } from '../../src/dispatcher/page-stream.js'
import { StandbyPause } from '../../src/dispatcher/standby-pause.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { type Delta, followingDelta, lowest, startingAt, type Tick } from '../../src/outbox/delta.js'
import { type LogReader, type Page, PostgresLogReader } from '../../src/outbox/log-reader.js'
import type { LogMessage } from '../../src/outbox/message.js'
import { takeTick } from '../../src/outbox/tick.js'
import { nonceOf } from '../support/incarnation.js'
import { memoryLogger, useDispatching } from './dispatching-fixture.js'

/** Nothing before `tick` is read, stragglers neither: other databases of the server may have some. */
function fromHere(tick: Tick): Delta {
  const delta = startingAt(tick)
  return { ...delta, from: { ...delta.from, running: [] } }
}

describe.each(['pg18', 'pg15'] as const)('the pages of a lane, on %s', (server) => {
  const { pool } = useDispatching(server)

  /** A stream over `messages` messages in pages of 10, and how often its reader was asked. `fails`: the nth time. */
  async function streaming(messages: number, fails?: number) {
    const nonce = await nonceOf(pool())
    await pool().query(`select waybill.publish('order.created', '0')`) // the log's end, from which it starts
    const delta = fromHere(await takeTick(pool(), 0))
    await pool().query(
      `select waybill.publish('order.created', to_json(i)) from generate_series(1, ${messages}) i order by i`,
    )
    const inner = new PostgresLogReader(pool(), nonce)
    const asked = { times: 0 }
    const reader: LogReader = {
      page: (request): Promise<Page> =>
        ++asked.times === fails ? Promise.reject(new Error('the connection was lost')) : inner.page(request),
      load: (seqs) => inner.load(seqs),
    }
    const name = { destination: 'crm', shard: 0, laneId: 1 }
    const pause = new StandbyPause({
      ...{ name, fence: () => ({ laneId: 1, epoch: '1', holder: randomUUID() }), pool: pool() },
      ...{ logger: memoryLogger(), hooks: {}, written: false },
    })
    const ticker = new Ticker(pool(), systemClock)
    const stream = new PageStream({
      ...{ reader, nonce, ticker, start: { delta, after: delta.to.ceiling }, pause },
      ...{ filter: { topicRegex: '.', destination: 'crm' }, matches: () => true, limit: 10 },
    })
    return { stream, asked, ticker }
  }

  it('are read one ahead of the lane, each once and in order, and none behind the last', async () => {
    const { stream, asked } = await streaming(35)
    const { signal } = new AbortController()
    const payloads: string[] = []
    for (let page = 1; payloads.length < 35; page++) {
      const { messages } = await stream.next(signal)
      payloads.push(...messages.map(({ payload }) => payload))
      if (payloads.length < 30) expect(asked.times).toBe(page + 1)
    }
    expect(payloads).toEqual(Array.from({ length: 35 }, (_, i) => String(i + 1)))
    expect(asked.times).toBe(4)
  })

  it('come with stragglers whose floors are near, and after those whose floors are far, all in order of seq', async () => {
    await pool().query(`select waybill.publish('order.created', '0')`)
    const nonce = await nonceOf(pool())
    const holder = await pool().connect()
    try {
      const start = await takeTick(pool(), 0)
      await holder.query(`begin; select waybill.publish('order.created', '1')`)
      await pool().query(`select waybill.publish('order.created', to_json(i)) from generate_series(2, 30) i order by i`)
      // of another server, as after a restore: its xids are yet to come here
      await pool().query(`insert into waybill.messages (xid, id, topic, payload)
        select (pg_current_xact_id()::text::bigint + i)::text::xid8, gen_random_uuid(), 'order.created', '"foreign"'
          from generate_series(5, 24) i`)
      const running = await takeTick(pool(), start.floor)
      const standing = followingDelta(fromHere(start), running)
      await holder.query('commit')
      await pool().query(
        `select waybill.publish('order.created', to_json(i)) from generate_series(31, 40) i order by i`,
      )
      for (let i = 0; i < 30; i++) await pool().query('select pg_current_xact_id()')
      const delta = followingDelta(standing, await takeTick(pool(), running.floor))
      expect(delta.from.running.length).toBeGreaterThan(0)

      const pages = async (nearSeqs: number): Promise<string[][]> => {
        const reader = new PostgresLogReader(pool(), nonce, nearSeqs)
        const read: string[][] = []
        for (let after = lowest(delta), drained = false; !drained;) {
          const page = await reader.page({ delta, after, limit: 8, span: 25, filter: null })
          read.push(page.messages.map(({ payload }) => payload))
          ;({ after, drained } = page)
        }
        return read
      }
      const numbers = (from: number, to: number): string[] =>
        Array.from({ length: to - from + 1 }, (_, i) => `${from + i}`)
      // the floors are 50 apart. Near: 25 seqs at a time, of which the straggler's is one, then those above the floor
      const near = [['1'], [], numbers(31, 38), numbers(39, 40)]
      const far = [['1'], numbers(31, 38), numbers(39, 40)]
      expect(await Promise.all([1000, 50, 49, 0].map(pages))).toEqual([near, near, far, far])
    } finally {
      await holder.query('rollback')
      holder.release()
    }
  })

  it('tell the ticker what was read: its next floor takes no probe', async () => {
    const { stream, ticker } = await streaming(35)
    const { signal } = new AbortController()
    let last = 0
    for (let read = 0; read < 35;) {
      const { messages } = await stream.next(signal)
      read += messages.length
      last = messages.at(-1)?.seq ?? last
    }
    const noteRead = vi.spyOn(ticker, 'noteRead')
    await pool().query(`select waybill.publish('order.created', '36')`)
    await ticker.fresh()
    let messages: readonly LogMessage[] = []
    // what ran meanwhile in other databases may have it look further below
    while (messages.length === 0) ({ messages } = await stream.next(signal))
    expect(noteRead).toHaveBeenCalledExactlyOnceWith(ticker.latest, messages[0]?.seq)
    expect((await ticker.fresh()).floor).toBe(messages[0]?.seq)
    expect(messages[0]?.seq).toBeGreaterThan(last)
  })

  it('that were lost ahead of the lane are missed when it comes for them, and not before', async () => {
    const { stream } = await streaming(35, 2)
    const { signal } = new AbortController()
    expect((await stream.next(signal)).messages).toHaveLength(10)
    await new Promise((resolve) => setImmediate(resolve))
    await expect(stream.next(signal)).rejects.toThrow('the connection was lost')
  })
})
