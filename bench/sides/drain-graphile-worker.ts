import { peer } from '../lib/peers.js'
import { serveSide } from '../lib/side.js'

interface GraphileWorker {
  run(options: object): Promise<{ stop(): Promise<void>; promise: Promise<void> }>
  runMigrations(options: object): Promise<void>
  Logger: new (factory: () => () => void) => object
}

/** As its own page on performance sets it: 24 jobs at once, a local queue of 500, completion batched. */
await serveSide<{ url: string; messages: number }>(async ({ url, messages }) => {
  const { run, Logger } = await peer<GraphileWorker>('graphile-worker')
  let left = messages
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  return {
    async run() {
      const runner = await run({
        taskList: {
          order_created: () => {
            if (--left === 0) done()
          },
        },
        noHandleSignals: true,
        logger: new Logger(() => () => undefined),
        preset: {
          worker: {
            connectionString: url,
            concurrentJobs: 24,
            maxPoolSize: 25,
            localQueue: { size: 500 },
            completeJobBatchDelay: 0,
            failJobBatchDelay: 0,
          },
        },
      })
      await all
      // flushes the last completions
      await runner.stop()
      return { messages: messages - left }
    },
  }
})
