import { serveSide } from '../lib/side.js'
import { dispatch, noopAdapter } from '../lib/waybill.js'

await serveSide<{ url: string; messages: number }>(async ({ url, messages }) => {
  let committed = 0
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  const { dispatcher, stop } = await dispatch({
    url,
    destinations: { sink: noopAdapter },
    hooks: {
      onDelivered(_lane, count) {
        committed += count
        if (committed >= messages) done()
      },
    },
  })
  return {
    async run() {
      await dispatcher.start()
      await all
      return { messages: committed }
    },
    close: stop,
  }
})
