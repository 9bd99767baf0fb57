import { setTimeout as sleep } from 'node:timers/promises'
import { peer } from '../lib/peers.js'
import { serveSide } from '../lib/side.js'

interface Outbox {
  initializePollingMessageListener(
    config: object,
    handler: { handle(message: object): Promise<void> },
    logger: object,
    strategies: object,
  ): [shutdown: () => Promise<void>]
  getDisabledLogger(): object
}

/** Its polling listener, batches of 500 from the start, polling at once again; ten connections for its handlers. */
await serveSide<{ url: string; messages: number; batch: number }>(async ({ url, messages, batch }) => {
  const { initializePollingMessageListener, getDisabledLogger } = await peer<Outbox>('pg-transactional-outbox')
  let left = messages
  let done: () => void = () => undefined
  const all = new Promise<void>((resolve) => (done = resolve))
  return {
    async run() {
      const [shutdown] = initializePollingMessageListener(
        {
          outboxOrInbox: 'outbox',
          dbListenerConfig: { connectionString: url, max: 2 },
          dbHandlerConfig: { connectionString: url, max: 10 },
          settings: {
            dbSchema: 'public',
            dbTable: 'outbox',
            nextMessagesFunctionName: 'next_outbox_messages',
            nextMessagesBatchSize: batch,
            nextMessagesLockInMs: 60_000,
            nextMessagesPollingIntervalInMs: 1,
            messageProcessingTimeoutInMs: 60_000,
            enableMaxAttemptsProtection: false,
            enablePoisonousMessageProtection: false,
            messageCleanupIntervalInMs: 0,
          },
        },
        {
          handle: async () => {
            if (--left === 0) done()
          },
        },
        getDisabledLogger(),
        // fetches again when half of a batch is through: each fetch looks through the whole table
        {
          batchSizeStrategy: async (busy: number) => {
            const enough = messages - left + busy / 2
            while (messages - left < enough) await sleep(1)
            return batch
          },
        },
      )
      await all
      await shutdown()
      return { messages: messages - left }
    },
  }
})
