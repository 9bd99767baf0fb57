import { didYouMean } from '../config/did-you-mean.js'
import { InputError, type Problem } from '../core/errors.js'
import { isTopic } from '../core/topic-pattern.js'
import type { LogMessage } from '../outbox/publish.js'
import { encodeJson } from './json-encode.js'
import { checkOptions, type CheckedOptions } from './message-options.js'
import type { MessageOptions } from './options.js'
import { pathText } from './path-text.js'
import { isRawJson } from './raw-json.js'
import { SharedValue } from './shared-value.js'
import { shapeOf } from '../core/shape.js'
import { topicRemedy, type TopicMap } from './topics.js'
import { validate } from './validate.js'

export interface MessageRules {
  /** Undefined: any topic. */
  readonly topics: TopicMap | undefined
  readonly maxPayloadBytes: number
}

/**
 * What is to be written, checked. A promise only where the topic's schema is asynchronous. Throws (or rejects with) an
 * `InputError`; `path` leads to the message within what the caller gave.
 */
export function prepareMessage(
  rules: MessageRules,
  topic: string,
  payload: unknown,
  options: MessageOptions,
  path: readonly PropertyKey[],
): LogMessage | Promise<LogMessage> {
  const problems: Problem[] = []
  const topicError = topicProblem(topic)
  if (topicError !== undefined) problems.push({ path: pathText([...path, 'topic']), message: topicError })
  const checked = checkOptions(options, path, problems)
  if (problems.length > 0) {
    throw new InputError('WAYBILL_PUBLISH_INVALID', 'the message is not valid; nothing was published', problems)
  }
  const schema = schemaOf(rules.topics, topic, path)
  const at = [...path, 'payload']
  const finish = (output: unknown): LogMessage => {
    // a schema may give JSON text, too
    const raw = [payload, output].find(isRawJson)
    const text = raw === undefined ? encodeJson(output, at) : raw.text
    return withPayload(checked, topic, text, rules.maxPayloadBytes, at)
  }
  if (schema === undefined) return finish(payload)
  const input: unknown = isRawJson(payload) ? JSON.parse(payload.text) : payload
  const output = validate(schema, input, topic, at)
  if (!(output instanceof Promise)) return finish(output.value)
  const shared = new SharedValue(input, (value) => encodeJson(value, at))
  return output.then(({ value }) => {
    if (!shared.hasChanged(value)) return finish(value)
    throw new InputError('WAYBILL_PAYLOAD_INVALID', 'the payload is not what was checked; nothing was published', [
      { path: pathText(at), message: 'was changed while its schema ran; publish a copy, or await publish first' },
    ])
  })
}

function topicProblem(topic: unknown): string | undefined {
  if (typeof topic !== 'string') return `is ${shapeOf(topic)}; give text such as order.created`
  return isTopic(topic) ? undefined : topicRemedy
}

function schemaOf(
  topics: TopicMap | undefined,
  topic: string,
  path: readonly PropertyKey[],
): TopicMap[string] | undefined {
  if (topics === undefined) return undefined
  const schema = Object.hasOwn(topics, topic) ? topics[topic] : undefined
  if (schema !== undefined) return schema
  const hint = didYouMean(topic, Object.keys(topics)) || '; add it to defineTopics'
  throw new InputError('WAYBILL_UNKNOWN_TOPIC', 'the topic is not one of this queue; nothing was published', [
    { path: pathText([...path, 'topic']), message: `${JSON.stringify(topic)} is not defined${hint}` },
  ])
}

function withPayload(
  checked: CheckedOptions,
  topic: string,
  payload: string,
  maxBytes: number,
  path: readonly PropertyKey[],
): LogMessage {
  // no character takes more than three bytes: most payloads need no count
  if (payload.length * 3 > maxBytes) {
    const bytes = Buffer.byteLength(payload)
    if (bytes > maxBytes) {
      throw new InputError('WAYBILL_PAYLOAD_TOO_LARGE', 'the payload is too large; nothing was published', [
        {
          path: pathText(path),
          message: `has ${bytes} bytes of JSON, more than ${maxBytes}; publish a reference to the data, or raise maxPayloadBytes and the database's limit (select waybill.set_limits(payload_bytes => …))`,
        },
      ])
    }
  }
  checked.topic = topic
  checked.payload = payload
  return checked
}
