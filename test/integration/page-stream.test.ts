import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.js'
import { PageStream } from '../../src/dispatcher/page-stream.js'
import { StandbyPause } from '../../src/dispatcher/standby-pause.js'
import { Ticker } from '../../src/dispatcher/ticker.js'
import { startingAt } from '../../src/outbox/delta.js'
import { type LogReader, type Page, PostgresLogReader } from '../../src/outbox/log-reader.js'
import { takeTick } from '../../src/outbox/tick.js'
import { memoryLogger, useDispatching } from './dispatching-fixture.js'

describe.each(['pg18', 'pg15'] as const)('the pages of a lane, on %s', (server) => {
  const { pool } = useDispatching(server)

  /** A stream over `messages` messages in pages of 10, and how often its reader was asked. `fails`: the nth time. */
  async function streaming(messages: number, fails?: number) {
    await pool().query(`select waybill.publish('order.created', '0')`) // the log's end, from which it starts
    const delta = startingAt(await takeTick(pool(), 0))
    await pool().query(
      `select waybill.publish('order.created', to_json(i)) from generate_series(1, ${messages}) i order by i`,
    )
    const inner = new PostgresLogReader(pool())
    const asked = { times: 0 }
    const reader: LogReader = {
      page: (request): Promise<Page> =>
        ++asked.times === fails ? Promise.reject(new Error('the connection was lost')) : inner.page(request),
      load: (seqs) => inner.load(seqs),
    }
    const name = { destination: 'crm', shard: 0, laneId: 1 }
    const pause = new StandbyPause({
      ...{ name, fence: { laneId: 1, epoch: '1', holder: randomUUID() }, pool: pool() },
      ...{ logger: memoryLogger(), hooks: {}, written: false },
    })
    const stream = new PageStream({
      ...{ reader, ticker: new Ticker(pool(), systemClock), start: { delta, after: delta.to.ceiling }, pause },
      ...{ filter: { topicRegex: '.', destination: 'crm' }, wants: () => true, limit: 10 },
    })
    return { stream, asked }
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

  it('that were lost ahead of the lane are missed when it comes for them, and not before', async () => {
    const { stream } = await streaming(35, 2)
    const { signal } = new AbortController()
    expect((await stream.next(signal)).messages).toHaveLength(10)
    await new Promise((resolve) => setImmediate(resolve))
    await expect(stream.next(signal)).rejects.toThrow('the connection was lost')
  })
})
