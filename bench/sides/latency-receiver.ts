import { writeFileSync } from 'node:fs'
import { type Adapter } from '../../src/adapters/contract.js'
import { serveSide } from '../lib/side.js'
import { dispatch } from '../lib/waybill.js'

/**
 * A dispatcher whose adapter notes when it was handed each message. CLOCK_MONOTONIC (`process.hrtime`) is one clock for
 * all processes of a machine.
 */
await serveSide<{ url: string; messages: number; file: string }>(async ({ url, messages, file }) => {
  const at: Record<string, number> = {}
  let seen = 0
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  const adapter: Adapter = {
    kind: 'receiver',
    capabilities: { ordered: true, maxBatch: 1000, concurrency: 1, transactional: false },
    async deliver(batch, { settle }) {
      const now = Number(process.hrtime.bigint()) / 1e6
      batch.forEach(({ id }, index) => {
        at[id] = now
        settle(index, { kind: 'delivered' })
      })
      seen += batch.length
      if (seen >= messages) done()
    },
    async close() {},
  }
  const { dispatcher, stop } = await dispatch({ url, destinations: { receiver: adapter } })
  await dispatcher.start()
  while (!dispatcher.asleep) await new Promise((resolve) => setTimeout(resolve, 20))
  return {
    async run() {
      await all
      writeFileSync(file, JSON.stringify(at))
      return { messages: seen }
    },
    close: stop,
  }
})
