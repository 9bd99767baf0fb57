import { isTopic } from '../core/topic-pattern.js'
import { didYouMean } from '../config/did-you-mean.js'
import { InputError, type Problem } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { topicRemedy, type StoredPayloadOf, type TopicMap, type TopicOf } from '../queue-facade/topics.js'

/** What is stored under a topic; unknown where no topics were declared. */
export type PayloadIn<Topics extends TopicMap, Topic extends TopicOf<Topics>> =
  string extends TopicOf<Topics> ? unknown : StoredPayloadOf<Topics, Topic>

/** A message as it stands in the log. */
export interface LoggedMessage<Payload = unknown> {
  /** uuid */
  readonly id: string
  readonly topic: string
  readonly key: string | null
  /** The stored JSON, parsed: dates are ISO text. */
  readonly payload: Payload
  /** The stored JSON, byte for byte. */
  readonly payloadText: string
  /** Names in lower case. Empty when there are none. */
  readonly headers: Readonly<Record<string, string>>
}

/** A message that was published in a test's transaction. */
export interface PublishedMessage<Payload = unknown> extends LoggedMessage<Payload> {
  /** Destinations that were named with `to`; null: the routes decide. */
  readonly to: readonly string[] | null
  /** When it is due, if it was published for later (`at`, `delay`); null: at once. */
  readonly at: Date | null
  /** The same in milliseconds from when it was published; null: at once. */
  readonly delayMs: number | null
}

export function refusal(problems: readonly Problem[]): InputError {
  return new InputError('WAYBILL_TESTING_INVALID', 'the call is not valid; nothing was looked at', problems)
}

/** A topic that cannot exist would be refuted for ever: throws an `InputError` for it. */
export function checkTopic(topic: unknown, topics: TopicMap | undefined): asserts topic is string {
  if (typeof topic !== 'string')
    throw refusal([{ path: 'topic', message: `is ${shapeOf(topic)}; give text such as order.created` }])
  if (!isTopic(topic)) throw refusal([{ path: 'topic', message: topicRemedy }])
  if (topics === undefined || Object.hasOwn(topics, topic)) return
  const hint = didYouMean(topic, Object.keys(topics)) || '; add it to defineTopics'
  throw new InputError('WAYBILL_UNKNOWN_TOPIC', 'the topic is not one of those that were given', [
    { path: 'topic', message: `${JSON.stringify(topic)} is not defined${hint}` },
  ])
}
