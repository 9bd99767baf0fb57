import { meterDatabase } from '../lib/database-cpu.js'
import { serveSide } from '../lib/side.js'
import { dispatch, noopAdapter } from '../lib/waybill.js'

/** `shards`: lanes of the destination. Default 1. */
await serveSide<{ url: string; messages: number; shards?: number }>(async ({ url, messages, shards = 1 }) => {
  let committed = 0
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  const { dispatcher, stop } = await dispatch({
    url,
    destinations: { sink: noopAdapter },
    settings: { shards },
    hooks: {
      onDelivered(_lane, count) {
        committed += count
        if (committed >= messages) done()
      },
    },
  })
  return {
    databaseCpu: await meterDatabase(url),
    async run() {
      await dispatcher.start()
      await all
      return { messages: committed }
    },
    close: stop,
  }
})
