import type { DeliverContext, Outcome } from '../contract.js'
import { type Appended, type KafkaClient, KafkaFault } from './client.js'
import { chunks, type Group, type Planned, sentNow } from './plan.js'

/** One `deliver` call: settles its messages and remembers the keys that must not go on. */
export class Call {
  readonly #context: DeliverContext
  /** For each key, the place in the batch of its first message that was not delivered. */
  readonly #stopped = new Map<string, number>()
  #over = false

  constructor(context: DeliverContext) {
    this.#context = context
  }

  /** True once the call is answered or aborted: nothing more may be sent or settled for it. */
  get over(): boolean {
    return this.#over || this.#context.signal.aborted
  }

  end(): void {
    this.#over = true
  }

  settle(index: number, outcome: Outcome): void {
    if (!this.over) this.#context.settle(index, outcome)
  }

  /** The message at `index` was not delivered: no later one of its key may be. */
  stop(key: string | null, index: number): void {
    if (key !== null) this.#stopped.set(key, Math.min(index, this.#stopped.get(key) ?? index))
  }

  mayGo({ orderKey, index }: Planned): boolean {
    return orderKey === null || index < (this.#stopped.get(orderKey) ?? Infinity)
  }
}

/**
 * Sends a group to its partition, one request after another, in order. Gives the fault that stopped it, if any: what it
 * kept from being sent stays unsettled.
 */
export async function sendGroup(
  client: KafkaClient,
  group: Group,
  call: Call,
  batchBytes: number,
): Promise<KafkaFault | undefined> {
  const runs = chunks(group.items, batchBytes).reverse()
  for (let run = runs.pop(); run !== undefined; run = runs.pop()) {
    if (call.over) return undefined
    const items = run.filter((item) => call.mayGo(item))
    const [first] = items
    if (first === undefined) continue
    const fault = await sendRun(client, group, items, call)
    if (fault === undefined) continue
    if (fault.kind === 'timestamp' && items.some((item) => item.sentNow !== true)) {
      const now = Date.now()
      runs.push(items.map((item) => sentNow(item, now)))
      continue
    }
    if (fault.kind === 'record') {
      // Nothing of a refused request is appended. Halve it until the record that is at fault is alone.
      if (items.length > 1) {
        const half = items.length >> 1
        runs.push(items.slice(half), items.slice(0, half))
      } else {
        call.settle(first.index, {
          kind: 'dead',
          failure: { code: fault.code, message: `${first.bytes} bytes: ${fault.message}` },
        })
        call.stop(first.orderKey, first.index)
      }
      continue
    }
    const kind = fault.kind === 'down' ? 'pause' : 'misconfigured'
    for (const item of items) call.settle(item.index, { kind, failure: { code: fault.code, message: fault.message } })
    for (const item of [items, ...runs].flat()) call.stop(item.orderKey, item.index)
    return fault
  }
  return undefined
}

async function sendRun(
  client: KafkaClient,
  group: Group,
  items: Planned[],
  call: Call,
): Promise<KafkaFault | undefined> {
  const { topic, partition } = group
  let appended: readonly Appended[]
  try {
    appended = await client.append(
      topic,
      partition,
      items.map((item) => item.record),
    )
  } catch (error) {
    if (error instanceof KafkaFault) return error
    throw error
  }
  // A client that resolves has sent what it confirms, and nothing else: kafkajs can leave a partition out.
  const proof = appended.find((entry) => entry.topic === topic && entry.partition === partition)
  if (proof === undefined || proof.baseOffset === '') {
    const text = `the answer of the brokers does not mention ${topic}/${partition}`
    return new KafkaFault('down', 'KAFKA_NOT_ACKNOWLEDGED', text)
  }
  const base = Number(proof.baseOffset)
  items.forEach((item, position) =>
    call.settle(item.index, { kind: 'delivered', receipt: { topic, partition, offset: base + position } }),
  )
  return undefined
}
