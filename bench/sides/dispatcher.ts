import { serveSide } from '../lib/side.js'
import { dispatch, noopAdapter } from '../lib/waybill.js'

interface Input {
  readonly url: string
  /** Lanes, one destination each. */
  readonly lanes: number
  /** Seconds of the measured stretch. */
  readonly seconds: number
  /** Be asleep before it begins. */
  readonly asleep: boolean
}

/** A dispatcher that goes about its business for a while: idling, or draining what others publish. */
await serveSide<Input>(async ({ url, lanes, seconds, asleep }) => {
  const destinations = Object.fromEntries(Array.from({ length: lanes }, (_, i) => [`sink${i}`, noopAdapter]))
  const { dispatcher } = await dispatch({ url, destinations })
  await dispatcher.start()
  while (asleep && !dispatcher.asleep) await new Promise((resolve) => setTimeout(resolve, 50))
  return {
    async run() {
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
      // what it holds, without what the collector has not come round to
      globalThis.gc?.()
      const rss = process.memoryUsage().rss / 1024 / 1024
      return { messages: 1, more: { rss } }
    },
  }
})
