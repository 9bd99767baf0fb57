import type { RunStatement } from '../core/statement.js'
import { openTransaction } from '../transactions/transaction.js'
import { newWord } from '../transactions/scope.js'
import { claim, forget, type Claim } from './claim.js'
import { checkInboxOptions, checkOnceOptions, type InboxOptions, type OnceOptions } from './options.js'

/**
 * What came of `Inbox.once`. `duplicate`: a transaction that has committed did it before; acknowledge the message.
 * `busy`, only with `onBusy: 'skip'`: another transaction is at it; don't acknowledge, take it again later.
 */
export type OnceOutcome<Result> =
  { readonly done: true; readonly result: Result } | { readonly done: false; readonly reason: 'duplicate' | 'busy' }

/**
 * A receiver's memory of what it has done: deliveries come at least once, and its effect happens once for each message id,
 * because the claim of the id and the effect commit together. Holds no connection; safe to share. The database needs
 * `waybill migrate --only inbox`.
 */
export class Inbox {
  readonly #consumer: string | undefined
  readonly #prepared: boolean

  /** Connects to nothing. Throws an `InputError` (`WAYBILL_INBOX_INVALID`) for options that are not valid. */
  constructor(options: InboxOptions = {}) {
    const { consumer, prepared } = checkInboxOptions(options)
    this.#consumer = consumer
    this.#prepared = prepared
  }

  /**
   * Runs `work` if the message was not claimed before, in the transaction `tx`, which the caller commits: then the claim
   * stays. Adds one statement.
   *
   * - While another transaction that has claimed the message runs, waits for its end (or with `onBusy: 'skip'` gives
   *   `busy`): committed, it is a duplicate; rolled back, it is ours.
   * - When `work` throws, the error passes through: **roll back**. A caller that catches it and commits keeps what `work`
   *   had written so far; the claim is taken back before the error passes, so that the message is not lost, but comes
   *   again. To commit without those writes, put a savepoint (a nested transaction) around the call.
   * - What `work` does outside of `tx`, such as a call to another system, is not undone by a rollback, and may happen again.
   *
   * @param messageId the id that stays the same over all deliveries of a message: the header `webhook-id`, the property
   *   `message_id`, the header `id` of a record, `job.messageId`. Text of 1 to 1,024 bytes, compared byte for byte. Not
   *   necessarily a uuid, so that ids of other senders will do
   * @throws InputError WAYBILL_INBOX_INVALID, WAYBILL_TX_REQUIRED, WAYBILL_TX_INVALID: nothing was written
   * @throws WaybillError WAYBILL_SCHEMA_MISSING, WAYBILL_PERMISSION_DENIED. Other errors of the database pass as they are:
   *   SQLSTATE 40001, when `tx` is REPEATABLE READ or SERIALIZABLE and the message was claimed after its snapshot was
   *   taken, and 40P01, when two transactions claim several messages in different order. Run the transaction again
   */
  async once<Tx extends OnceOptions['tx'], Result>(
    messageId: string,
    options: OnceOptions<Tx>,
    work: (tx: Tx) => PromiseLike<Result> | Result,
  ): Promise<OnceOutcome<Result>> {
    const checked = checkOnceOptions(messageId, options, work, this.#consumer)
    const { run } = openTransaction((options as Partial<OnceOptions> | undefined)?.tx, {
      prepared: this.#prepared,
      txOnly: true,
    })
    const word = newWord()
    const answer = await claim(run, checked, word)
    if (answer !== 'first') return { done: false, reason: answer }
    try {
      return { done: true, result: await work(options.tx) }
    } catch (error) {
      await takeBack(run, checked, word)
      throw error
    }
  }
}

/**
 * In a transaction that has failed, or whose connection is gone, there is nothing to take back: it can't commit. Nor is
 * there where the work ended the transaction itself: the claim that is there by now is of another attempt.
 */
async function takeBack(run: RunStatement, message: Omit<Claim, 'onBusy'>, word: string): Promise<void> {
  try {
    await forget(run, message, word)
  } catch {
    // the error of `work` is the one to hear of; what keeps this statement from running keeps the claim from being kept
  }
}
