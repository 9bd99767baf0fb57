import type { OutboundMessage } from '../contract.js'
import type { KafkaClient } from './client.js'
import type { Target } from './plan.js'

/** Longest name of a Kafka topic (`org.apache.kafka.common.internals.Topic`). */
export const maxTopicLength = 249

/** The Kafka topic of a message, from the template of the settings. */
export function topicTemplate(template: string): (message: OutboundMessage) => string {
  if (!template.includes('{topic}')) return () => template
  return (message) => template.replaceAll('{topic}', () => message.topic)
}

/** Remembers the partitions of topics for a while, and spreads records without a key over them. */
export class Topics {
  readonly #client: KafkaClient
  readonly #maxAgeMs: number
  readonly #known = new Map<string, { readonly until: number; readonly partitions: Target['partitions'] }>()
  #turn = 0

  constructor(client: KafkaClient, maxAgeMs: number) {
    this.#client = client
    this.#maxAgeMs = maxAgeMs
  }

  /**
   * Where the topic's records go, or undefined where it does not exist. Records without a key go to one partition for a
   * call and to the next for the next call: spread, in few requests. Throws `KafkaFault`.
   */
  async target(topic: string): Promise<Target | undefined> {
    const partitions = await this.#partitions(topic)
    if (partitions === undefined || partitions.length === 0) return undefined
    const available = partitions.filter((partition) => partition.available)
    const choice = available.length > 0 ? available : partitions
    return { topic, partitions, keyless: choice[this.#turn++ % choice.length]?.id ?? 0 }
  }

  async #partitions(topic: string): Promise<Target['partitions'] | undefined> {
    const known = this.#known.get(topic)
    if (known && known.until > performance.now()) return known.partitions
    const partitions = await this.#client.partitions(topic)
    if (partitions) this.#known.set(topic, { partitions, until: performance.now() + this.#maxAgeMs })
    else this.#known.delete(topic)
    return partitions
  }
}
