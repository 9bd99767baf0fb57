import { InputError, type ErrorCode, type Problem } from '../core/errors.js'
import type { LogMessage } from '../outbox/publish.js'
import { prepareMessage, type MessageRules } from './message.js'
import { shapeOf } from '../core/shape.js'

/** One statement carries them all, and one PostgreSQL value each of its arrays. */
const maxMessages = 50_000
const maxTotalBytes = 128 * 1024 * 1024
/** Problems that are listed; a list that is wrong throughout need not be printed whole. */
const maxProblems = 50

/**
 * Every element checked, before any is written. A promise only where a schema is asynchronous. Throws (or rejects with)
 * one `InputError` for all elements, with the code of the first one's.
 */
export function prepareMessages(rules: MessageRules, messages: unknown): LogMessage[] | Promise<LogMessage[]> {
  if (!Array.isArray(messages))
    throw refused('messages', `is ${shapeOf(messages)}; give an array of { topic, payload, … }`)
  if (messages.length > maxMessages) {
    throw refused('messages', `is ${shapeOf(messages)}, more than ${maxMessages}; publish it in several lists`)
  }
  const faults = new Faults()
  const prepared = Array.from(messages, (message: unknown, index) => {
    const result = faults.catch(() => prepareElement(rules, message, index))
    // awaited below, unless a later element throws first: its rejection is nobody's then
    if (result instanceof Promise) result.catch(() => undefined)
    return result
  })
  if (prepared.every(isSettled)) return complete(prepared, faults)
  return Promise.all(prepared.map((message) => faults.catchLater(message))).then((settled) => complete(settled, faults))
}

function prepareElement(rules: MessageRules, message: unknown, index: number): LogMessage | Promise<LogMessage> {
  if (typeof message !== 'object' || message === null) {
    throw refused(`messages[${index}]`, `is ${shapeOf(message)}; give { topic, payload, … }`)
  }
  const { topic, payload } = message as { topic: string; payload: unknown }
  if ('tx' in message)
    throw refused(`messages[${index}].tx`, 'is one for the whole list; give it as publishMany(messages, { tx })')
  return prepareMessage(rules, topic, payload, message, ['messages', index])
}

function complete(messages: readonly (LogMessage | undefined)[], faults: Faults): LogMessage[] {
  faults.throwIfAny()
  let total = 0
  // UTF-16 units: never more than the bytes
  for (const message of messages) total += message?.payload.length ?? 0
  if (total > maxTotalBytes) {
    throw refused(
      'messages',
      `have ${total} characters of payload in all, more than ${maxTotalBytes}; publish them in several lists`,
    )
  }
  return messages as LogMessage[]
}

function refused(path: string, message: string): InputError {
  return new InputError('WAYBILL_PUBLISH_INVALID', 'the list is not valid; nothing was published', [{ path, message }])
}

/** Gathers what is wrong with all elements; other errors than an `InputError` pass through. */
class Faults {
  readonly #problems: Problem[] = []
  #code: ErrorCode | undefined

  catch<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      return this.#note(error)
    }
  }

  async catchLater<T>(work: T | Promise<T>): Promise<T | undefined> {
    try {
      return await work
    } catch (error) {
      return this.#note(error)
    }
  }

  throwIfAny(): void {
    if (this.#code === undefined) return
    const more = this.#problems.length - maxProblems
    const listed = this.#problems.slice(0, maxProblems)
    if (more > 0) listed.push({ path: '', message: `and ${more} more` })
    throw new InputError(this.#code, 'the list is not valid; nothing was published', listed)
  }

  #note(error: unknown): undefined {
    if (!(error instanceof InputError)) throw error
    this.#code ??= error.code
    this.#problems.push(...error.problems)
    return undefined
  }
}

function isSettled(message: LogMessage | Promise<LogMessage> | undefined): message is LogMessage | undefined {
  return !(message instanceof Promise)
}
