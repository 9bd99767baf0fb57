import { createPool } from '../../src/db/pool.js'
import { PostgresLogReader } from '../../src/outbox/log-reader.js'
import { glance, takeTick } from '../../src/outbox/tick.js'
import { serveSide } from '../lib/side.js'
import { dispatch, noopAdapter } from '../lib/waybill.js'

/** Drains the first `messages` of a log through a lane of its own, and times polls that find nothing at its end. */
await serveSide<{ url: string; messages: number; destination: string }>(async ({ url, messages, destination }) => {
  let committed = 0
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  const { dispatcher, stop } = await dispatch({
    url,
    destinations: { [destination]: noopAdapter },
    hooks: {
      onDelivered(_lane, count) {
        committed += count
        if (committed >= messages) done()
      },
    },
  })
  return {
    async run() {
      const start = performance.now()
      await dispatcher.start()
      await all
      const moved = committed
      const seconds = (performance.now() - start) / 1000
      await stop()
      return { messages: moved, more: { rate: moved / seconds, ...(await emptyPolls(url)) } }
    },
  }
})

/** What a dispatcher does when nothing came: looks at the sequence; and, when something may have, a tick and a page. */
async function emptyPolls(url: string): Promise<{ 'poll ms': number; 'tick+page ms': number }> {
  const pool = createPool({ connectionString: url, max: 1 })
  const from = await takeTick(pool, 0)
  const reader = new PostgresLogReader(pool, from.nonce ?? '')
  const delta = { n: 1, from: { snapshot: from.snapshot, floor: from.floor, running: [] }, to: from }
  const polls: number[] = []
  const whole: number[] = []
  for (let i = 0; i < 300; i++) {
    const start = performance.now()
    await glance(pool)
    const looked = performance.now()
    const to = await takeTick(pool, from.floor)
    // one seq beyond: the probe itself, not the shortcut that there is nothing to look at
    await reader.page({
      delta: { ...delta, to: { ...to, ceiling: to.ceiling + 1 } },
      after: from.floor,
      limit: 500,
      span: 1000,
      filter: null,
    })
    polls.push(looked - start)
    whole.push(performance.now() - looked)
  }
  await pool.end()
  return { 'poll ms': middle(polls), 'tick+page ms': middle(whole) }
}

function middle(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] ?? NaN
}
