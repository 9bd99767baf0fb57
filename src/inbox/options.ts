import { InputError, type Problem } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import type { Transaction } from '../transactions/transaction.js'
import type { Claim } from './claim.js'

export interface InboxOptions {
  /**
   * Whose effect it is: all processes of a service give the same name, and two services of one database give two. 1 to 255
   * bytes of UTF-8. Default: none, then each call of `once` names it.
   */
  readonly consumer?: string | undefined
  /** Use named prepared statements with `pg`. Default false, for PgBouncer before 1.21 refuses them in transaction mode. */
  readonly prepared?: boolean | undefined
}

export interface OnceOptions<Tx extends Transaction = Transaction> {
  /**
   * The open transaction that the effect is written in: a pg client after `begin`, or the transaction of an ORM or query
   * builder (docs/transactions.md). Never null: a claim apart from its effect would lose the message.
   */
  readonly tx: Tx
  /** In place of the inbox's own. */
  readonly consumer?: string | undefined
  /** While another transaction that has claimed the message runs: `wait` for its end (default), or `skip` the message. */
  readonly onBusy?: 'wait' | 'skip' | undefined
}

const inboxNames: ReadonlySet<string> = new Set(['consumer', 'prepared'])
const onceNames: ReadonlySet<string> = new Set(['tx', 'consumer', 'onBusy'])

export function checkInboxOptions(options: InboxOptions): { consumer: string | undefined; prepared: boolean } {
  const problems = unknownNames(options, inboxNames, 'Inbox')
  const { consumer, prepared = false } = options
  if (consumer !== undefined) checkText(consumer, 'consumer', 255, problems)
  if (typeof prepared !== 'boolean')
    problems.push({ path: 'prepared', message: `is ${shapeOf(prepared)}; give true or false` })
  if (problems.length > 0) throw new InputError('WAYBILL_INBOX_INVALID', 'the options of Inbox are not valid', problems)
  return { consumer, prepared }
}

/** The claim that a call of `once` asks for. Throws an `InputError` that lists everything that is wrong. */
export function checkOnceOptions(
  messageId: unknown,
  options: Partial<OnceOptions> | null | undefined,
  work: unknown,
  own: string | undefined,
): Claim {
  const problems = unknownNames(options ?? {}, onceNames, 'once')
  const { consumer = own, onBusy = 'wait' } = options ?? {}
  checkText(messageId, 'messageId', 1024, problems)
  if (consumer === undefined) {
    problems.push({ path: 'consumer', message: 'is missing; give it here, or to new Inbox({ consumer })' })
  } else checkText(consumer, 'consumer', 255, problems)
  if (onBusy !== 'wait' && onBusy !== 'skip') {
    problems.push({ path: 'onBusy', message: `is ${shapeOf(onBusy)}; give 'wait' or 'skip'` })
  }
  if (typeof work !== 'function') {
    problems.push({
      path: 'work',
      message: `is ${shapeOf(work)}; give the function that has the effect, as the third argument`,
    })
  }
  if (problems.length > 0) {
    throw new InputError('WAYBILL_INBOX_INVALID', 'the call is not valid; nothing was written', problems)
  }
  return { consumer: consumer as string, id: messageId as string, onBusy }
}

function unknownNames(options: object, known: ReadonlySet<string>, of: string): Problem[] {
  return Object.keys(options)
    .filter((name) => !known.has(name))
    .map((name) => ({ path: name, message: `is not an option of ${of}` }))
}

function checkText(value: unknown, path: string, most: number, problems: Problem[]): void {
  const remedy = `give a text of 1 to ${most.toLocaleString('en-US')} bytes without NUL`
  if (typeof value !== 'string' || value === '') {
    problems.push({ path, message: `is ${shapeOf(value)}; ${remedy}` })
    return
  }
  const bytes = Buffer.byteLength(value)
  if (bytes > most) problems.push({ path, message: `has ${bytes} bytes; ${remedy}` })
  else if (value.includes('\0') || /\p{Surrogate}/u.test(value)) {
    problems.push({ path, message: `has a NUL or half of a surrogate pair; ${remedy}` })
  }
}
