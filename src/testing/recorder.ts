import { InputError, WaybillError } from '../core/errors.js'
import type { RunStatement } from '../core/statement.js'
import { checkTopics, type AnyTopics, type TopicMap, type TopicOf } from '../queue-facade/topics.js'
import { openTransaction, type Transaction } from '../transactions/transaction.js'
import { missing, PublishedAssertionError, unwanted } from './assertion-error.js'
import { checkExpected, messageDifferences, type ExpectedMessage } from './expectation.js'
import { checkTopic, type PayloadIn, type PublishedMessage } from './message.js'
import { readPublished, takeBaseline } from './published-rows.js'

export interface RecorderOptions<Topics extends TopicMap = AnyTopics> {
  /** The test's open transaction: whatever `Queue.publish` takes. */
  readonly tx: Transaction
  /** From `defineTopics`: types payloads, and refuses a topic that is not among them. Default: any topic. */
  readonly topics?: Topics | undefined
}

/**
 * What was published in one transaction since the recorder was made, in the order in which it would be delivered: the
 * log, then what is scheduled, by when it is due. What was rolled back with a savepoint, taken back with `cancel`, or
 * left out for its dedupe key is not there; nor is what other transactions publish.
 *
 * All methods reject with an `InputError` for a call that is not valid, and with a `WaybillError` of code
 * `WAYBILL_TX_INVALID` once the transaction has ended or failed.
 */
export interface Recorder<Topics extends TopicMap = AnyTopics> {
  /** Everything, or everything of a topic. */
  published(): Promise<PublishedMessage[]>
  published<Topic extends TopicOf<Topics>>(topic: Topic): Promise<PublishedMessage<PayloadIn<Topics, Topic>>[]>
  /**
   * Gives the first message of the topic that is as expected. Rejects with a `PublishedAssertionError`
   * (`WAYBILL_ASSERTION_FAILED`) that tells what was published instead and how the nearest differs.
   */
  assertPublished<Topic extends TopicOf<Topics>>(
    topic: Topic,
    expected?: ExpectedMessage<PayloadIn<Topics, Topic>>,
  ): Promise<PublishedMessage<PayloadIn<Topics, Topic>>>
  /**
   * Rejects with a `PublishedAssertionError` that lists what was published, of the topic and as described: without
   * either, whatever was.
   */
  refutePublished<Topic extends TopicOf<Topics>>(
    topic?: Topic,
    expected?: ExpectedMessage<PayloadIn<Topics, Topic>>,
  ): Promise<void>
}

/**
 * Looks from now on into the test's own transaction. It runs one statement for itself and one for each question, in that
 * transaction, and needs neither a dispatcher nor a commit: roll back, and nothing was ever there. The role must be
 * allowed to read the schema `waybill`: its owner, or `waybill_reader`.
 *
 * Rejects as the methods of what it gives; with `WAYBILL_TX_REQUIRED` without a `tx`.
 */
export async function recorder<Topics extends TopicMap = AnyTopics>(
  options: RecorderOptions<Topics>,
): Promise<Recorder<Topics>> {
  const { topics } = options
  if (topics !== undefined) checkTopics(topics)
  const { xid, ...since } = await takeBaseline(runnerOf(options.tx))
  const read = async (): Promise<PublishedMessage[]> => {
    const found = await readPublished(runnerOf(options.tx), since)
    if (found.xid === xid) return found.messages
    throw new WaybillError(
      'WAYBILL_TX_INVALID',
      'tx: the transaction in which the recorder was made has ended; make a recorder in each',
    )
  }
  const made: Recorder & Branded = {
    [brand]: { topics },
    async published(topic?: string) {
      if (topic === undefined) return read()
      checkTopic(topic, topics)
      return (await read()).filter((message) => message.topic === topic)
    },
    async assertPublished(topic, expected = {}) {
      const { fitting, published } = await select(read, topic, expected, topics)
      if (fitting[0]) return fitting[0]
      throw new PublishedAssertionError('assertPublished', missing(topic, expected, published))
    },
    async refutePublished(topic, expected = {}) {
      const { fitting } = await select(read, topic, expected, topics)
      if (fitting.length > 0) throw new PublishedAssertionError('refutePublished', unwanted(topic, expected, fitting))
    },
  }
  return made
}

/** What fits, of all that was published. */
export async function select(
  read: () => Promise<PublishedMessage[]>,
  topic: string | undefined,
  expected: ExpectedMessage,
  topics?: TopicMap,
): Promise<{ readonly published: PublishedMessage[]; readonly fitting: PublishedMessage[] }> {
  if (topic !== undefined) checkTopic(topic, topics)
  checkExpected(expected)
  const published = await read()
  const fitting = published.filter(
    (message) => (topic === undefined || message.topic === topic) && messageDifferences(expected, message).length === 0,
  )
  return { published, fitting }
}

const brand: unique symbol = Symbol.for('waybill.recorder')

interface Branded {
  readonly [brand]: { readonly topics: TopicMap | undefined }
}

/** What a recorder was given. */
export function brandOf(value: Recorder): Branded[typeof brand] {
  return (value as Recorder & Branded)[brand]
}

export function isRecorder(value: unknown): value is Recorder {
  return typeof value === 'object' && value !== null && brand in value
}

/** How a question runs in the transaction. */
export function runnerOf(tx: unknown): RunStatement {
  if (tx !== undefined && tx !== null) return openTransaction(tx, { prepared: false }).run
  throw new InputError('WAYBILL_TX_REQUIRED', 'tx is missing: there is nothing to look into', [
    { path: 'tx', message: 'give the open transaction in which the code under test publishes' },
  ])
}
