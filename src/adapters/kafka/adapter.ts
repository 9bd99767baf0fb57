import { WaybillError } from '../../core/errors.js'
import type { KafkaSettings } from '../../config/destinations/kafka.js'
import type { Adapter, AdapterContext, Capabilities, DeliverContext, Outcome, OutboundMessage } from '../contract.js'
import { Call, sendGroup } from './call.js'
import { type KafkaClient, type KafkaConnect, KafkaFault } from './client.js'
import { type Group, planWaves, type Target } from './plan.js'
import { maxTopicLength, Topics, topicTemplate } from './topics.js'

interface Session {
  readonly client: KafkaClient
  readonly topics: Topics
  discarded: boolean
}

/**
 * A client without work is closed after so long, milliseconds: each connection of kafkajs 2.2 wakes the process every
 * millisecond for as long as it is open (tulios/kafkajs#1704); measured here, 2–5 % of a core while idle.
 */
const idleAfterMs = 10_000

export class KafkaAdapter implements Adapter {
  readonly kind = 'kafka'
  readonly capabilities: Capabilities = { ordered: true, maxBatch: 1000, concurrency: 2, transactional: false }
  readonly #settings: KafkaSettings
  readonly #context: AdapterContext
  readonly #connect: KafkaConnect
  readonly #topicOf: (message: OutboundMessage) => string
  readonly #unknownTopic: 'retry' | 'dead' | 'misconfigured'
  readonly #work = new Set<Promise<unknown>>()
  /** The last request for each partition: the next one waits for it, also when its own call was aborted. */
  readonly #turns = new Map<string, Promise<unknown>>()
  #session: Promise<Session> | undefined
  #closing: Promise<void> | undefined
  #idle: NodeJS.Timeout | undefined
  readonly #idleMs: number

  constructor(settings: KafkaSettings, context: AdapterContext, connect: KafkaConnect, idleMs = idleAfterMs) {
    this.#settings = settings
    this.#context = context
    this.#connect = connect
    this.#idleMs = idleMs
    this.#topicOf = topicTemplate(settings.topic)
    this.#unknownTopic = settings.unknownTopic ?? (settings.topic.includes('{topic}') ? 'retry' : 'misconfigured')
  }

  async deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    if (this.#closing) {
      const text = `destination ${this.#context.destination}: deliver was called after close; create a new adapter`
      throw new WaybillError('WAYBILL_ADAPTER_CLOSED', text)
    }
    if (batch.length === 0 || context.signal.aborted) return
    const call = new Call(context)
    // Requests that were sent cannot be called back: an aborted call returns at once, its requests end in #work.
    const work = this.#track(this.#deliver(batch, call))
    const { promise: aborted, dispose } = abortOf(context.signal)
    try {
      await Promise.race([work, aborted])
    } finally {
      call.end()
      dispose()
    }
  }

  close(): Promise<void> {
    return (this.#closing ??= this.#close())
  }

  async #deliver(batch: readonly OutboundMessage[], call: Call): Promise<void> {
    let session: Session
    let targets: Map<string, Target>
    try {
      session = await this.#open()
      targets = await this.#targets(batch, session)
    } catch (error) {
      const outcome = destinationOutcome(error)
      for (const index of batch.keys()) call.settle(index, outcome)
      return
    }
    const waves = planWaves(batch, (message) => targets.get(this.#topicOf(message)))
    this.#settleWithoutTarget(batch, targets, call)
    for (const wave of waves) {
      if (call.over) return
      await Promise.all(wave.map((group) => this.#inTurn(session, group, call)))
    }
  }

  /** The targets of all topics in the batch that exist. */
  async #targets(batch: readonly OutboundMessage[], session: Session): Promise<Map<string, Target>> {
    const targets = new Map<string, Target>()
    const names = new Set(batch.map(this.#topicOf).filter((topic) => topic.length <= maxTopicLength))
    try {
      await Promise.all(
        Array.from(names, async (topic) => {
          const target = await session.topics.target(topic)
          if (target) targets.set(topic, target)
        }),
      )
    } catch (error) {
      this.#discard(session)
      throw error
    }
    return targets
  }

  #settleWithoutTarget(batch: readonly OutboundMessage[], targets: ReadonlyMap<string, Target>, call: Call): void {
    batch.forEach((message, index) => {
      const topic = this.#topicOf(message)
      if (targets.has(topic)) return
      call.settle(index, this.#noTopic(topic))
      call.stop(message.key, index)
    })
  }

  #noTopic(topic: string): Outcome {
    if (topic.length > maxTopicLength) {
      const message = `the Kafka topic would have ${topic.length} characters; Kafka takes ${maxTopicLength}`
      return { kind: 'dead', failure: { code: 'KAFKA_TOPIC_INVALID', message } }
    }
    const message = `there is no Kafka topic ${JSON.stringify(topic)}; create it, or correct the setting "topic"`
    return { kind: this.#unknownTopic, failure: { code: 'KAFKA_UNKNOWN_TOPIC', message } }
  }

  /** Sends a group when the request before it to the same partition has ended. */
  async #inTurn(session: Session, group: Group, call: Call): Promise<void> {
    const place = `${group.topic}/${group.partition}`
    const before = this.#turns.get(place)
    const turn = (async () => {
      await before
      const fault = await sendGroup(session.client, group, call, this.#settings.batchBytes)
      // A client that failed is replaced: kafkajs goes on using connections that do not answer, and metadata of topics
      // that are gone.
      if (fault) this.#discard(session)
    })()
    // Whoever waits for the turn wants its end; its error goes to its own caller.
    const settled = this.#track(turn.catch(() => undefined))
    this.#turns.set(place, settled)
    try {
      await turn
    } finally {
      if (this.#turns.get(place) === settled) this.#turns.delete(place)
    }
  }

  /** The session that is up, or a new one; calls that come meanwhile share the attempt. */
  #open(): Promise<Session> {
    return (this.#session ??= this.#connect().then(
      (client) => ({ client, topics: new Topics(client, this.#settings.metadataMaxAge), discarded: false }),
      (error: unknown) => {
        this.#session = undefined
        throw error
      },
    ))
  }

  #discard(session: Session): void {
    if (session.discarded) return
    session.discarded = true
    this.#session = undefined
    void this.#track(session.client.close())
  }

  async #close(): Promise<void> {
    clearTimeout(this.#idle)
    const opening = this.#session
    while (this.#work.size > 0) await Promise.allSettled(this.#work)
    const session = await opening?.catch(() => undefined)
    await session?.client.close()
  }

  #track<Result>(work: Promise<Result>): Promise<Result> {
    clearTimeout(this.#idle)
    this.#work.add(work)
    const forget = (): void => {
      this.#work.delete(work)
      if (this.#work.size === 0 && this.#session && !this.#closing) {
        this.#idle = setTimeout(() => void this.#rest(), this.#idleMs)
      }
    }
    work.then(forget, forget)
    return work
  }

  /** Lets an idle client go; the next call connects again. */
  async #rest(): Promise<void> {
    const session = await this.#session?.catch(() => undefined)
    if (session && this.#work.size === 0) this.#discard(session)
  }
}

function destinationOutcome(error: unknown): Outcome {
  if (error instanceof KafkaFault && error.kind !== 'record') {
    const kind = error.kind === 'down' ? 'pause' : 'misconfigured'
    return { kind, failure: { code: error.code, message: error.message } }
  }
  if (WaybillError.isInstance(error)) {
    return { kind: 'misconfigured', failure: { code: error.code, message: error.message } }
  }
  throw error
}

/** Resolves when the signal aborts; `dispose` takes the listener back. */
function abortOf(signal: AbortSignal): { promise: Promise<void>; dispose: () => void } {
  let onAbort: () => void = () => undefined
  const promise = new Promise<void>((resolve) => (onAbort = resolve))
  signal.addEventListener('abort', onAbort, { once: true })
  return { promise, dispose: () => signal.removeEventListener('abort', onAbort) }
}
