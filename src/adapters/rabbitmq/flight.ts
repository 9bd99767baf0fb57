import type { DeliverContext, Outcome, OutboundMessage } from '../contract.js'

/** One `deliver` call: which of its messages are sent, which are settled, and when it is over. */
export class Flight {
  readonly batch: readonly OutboundMessage[]
  /** Resolves when nothing of this call is under way any more, or when it was aborted. */
  readonly done: Promise<void>
  /** The next message to send. */
  next = 0
  #unanswered = 0
  #over = false
  readonly #context: DeliverContext
  readonly #onAbort = (): void => this.#end()
  #resolve!: () => void
  #reject!: (error: unknown) => void

  constructor(batch: readonly OutboundMessage[], context: DeliverContext) {
    this.batch = batch
    this.#context = context
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    this.#unanswered = batch.length
    context.signal.addEventListener('abort', this.#onAbort, { once: true })
    if (context.signal.aborted) this.#end()
  }

  /** True once the call is answered: nothing more may be sent or settled for it. */
  get over(): boolean {
    return this.#over
  }

  /** Says what became of a message; ignored once the call is over. */
  settle(index: number, outcome: Outcome): void {
    if (this.#over) return
    try {
      this.#context.settle(index, outcome)
    } catch (error) {
      // The caller's own bug: it must not run into amqplib's frame loop, which would drop the connection for it.
      this.#end(() => this.#reject(error))
      return
    }
    if (--this.#unanswered === 0) this.#end()
  }

  /** Settles all that was never sent with one outcome. */
  settleUnsent(outcome: Outcome): void {
    while (!this.#over && this.next < this.batch.length) this.settle(this.next++, outcome)
  }

  /** Ends the call; what is not settled stays so. */
  end(): void {
    this.#end()
  }

  #end(finish: () => void = this.#resolve): void {
    if (this.#over) return
    this.#over = true
    this.#context.signal.removeEventListener('abort', this.#onAbort)
    finish()
  }
}
