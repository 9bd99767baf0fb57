import type { Adapter, DeliverContext, Outcome, OutboundMessage } from '../adapters/contract.js'
import { codeOf, messageOf } from '../core/errors.js'
import type { LoggedMessage } from './message.js'

/** A message as a fake destination gets it. */
export interface DeliveredMessage extends LoggedMessage {
  readonly createdAt: Date
  /** Which attempt this is, 1 for the first. */
  readonly attempt: number
}

/** Stands for a destination: what it throws, or rejects with, is a failed attempt. */
export type FakeDestination = (message: DeliveredMessage) => unknown

export interface FailedAttempt {
  readonly message: DeliveredMessage
  /** What the fake threw. */
  readonly error: unknown
}

/** The kind of fake destinations in `waybill.destinations`. */
export const fakeKind = 'testing-fake'

/** Hands messages to a fake one at a time, in the order of the log, and remembers what became of each attempt. */
export class FakeAdapter implements Adapter {
  readonly kind = fakeKind
  readonly capabilities = { ordered: false, maxBatch: 1, concurrency: 1, transactional: false }
  readonly delivered: DeliveredMessage[] = []
  readonly failed: FailedAttempt[] = []
  /** The one that the fake has and has not answered for. */
  underWay: DeliveredMessage | undefined
  readonly #fake: FakeDestination
  #turn: Promise<unknown> = Promise.resolve()

  constructor(fake: FakeDestination) {
    this.#fake = fake
  }

  // a lane may have a retried message under way beside a new one
  deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    const turn = this.#turn.then(() => this.#deliver(batch, context))
    this.#turn = turn
    return turn
  }

  async #deliver(batch: readonly OutboundMessage[], context: DeliverContext): Promise<void> {
    const { signal } = context
    for (const [index, message] of batch.entries()) {
      if (signal.aborted) return
      const answered = new AbortController()
      const aborted = new Promise<undefined>((resolve) => {
        signal.addEventListener('abort', () => resolve(undefined), { once: true, signal: answered.signal })
      })
      const outcome = await Promise.race([this.#hand(deliveredMessage(message)), aborted])
      answered.abort()
      if (outcome) context.settle(index, outcome)
    }
  }

  async #hand(message: DeliveredMessage): Promise<Outcome> {
    this.underWay = message
    try {
      await this.#fake(message)
      this.delivered.push(message)
      return { kind: 'delivered' }
    } catch (error) {
      this.failed.push({ message, error })
      return { kind: 'retry', failure: { code: codeOf(error) ?? 'FAKE', message: messageOf(error) } }
    } finally {
      this.underWay = undefined
    }
  }

  async close(): Promise<void> {}
}

function deliveredMessage({ id, topic, key, headers, createdAt, attempt, payload }: OutboundMessage): DeliveredMessage {
  const parsed: unknown = JSON.parse(payload)
  return { id, topic, key, headers, createdAt, attempt, payload: parsed, payloadText: payload }
}
