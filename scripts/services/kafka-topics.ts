import { setTimeout as sleep } from 'node:timers/promises'
import type { Admin, ITopicConfig } from 'kafkajs'

const patienceMs = 30_000

/**
 * Creates a topic and waits until each partition's leader serves it. kafkajs's own `waitForLeaders` gives up where the
 * broker it asks has not heard of the topic yet; and one that is named as leader may still have to become it.
 */
export async function createTopic(admin: Admin, topic: ITopicConfig): Promise<void> {
  await admin.createTopics({ topics: [topic], waitForLeaders: false })
  const deadline = performance.now() + patienceMs
  for (;;) {
    try {
      await admin.fetchTopicOffsets(topic.topic) // asks the leaders
      return
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(50)
  }
}
