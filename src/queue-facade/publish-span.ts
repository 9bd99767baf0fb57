import { type Span, isTracing, startSpan } from '../core/open-telemetry.js'
import { unlessItThrows } from '../core/unless-it-throws.js'

/**
 * The span of a publish; its context goes along in the message. It says that the message was written into the caller's
 * transaction, not that this was committed. Names: OpenTelemetry's semantic conventions for messaging.
 */
export function publishSpan(topic: unknown): Span | undefined {
  return isTracing() ? start(topic, {}) : undefined
}

/** Of a list; it names the topic when there is one for all. */
export function publishManySpan(messages: unknown): Span | undefined {
  if (!isTracing() || !Array.isArray(messages) || messages.length === 0) return undefined
  const topicOf = (message: { topic?: unknown } | null): unknown => unlessItThrows(() => message?.topic)
  const topics = new Set((messages as ({ topic?: unknown } | null)[]).map(topicOf))
  return start(topics.size === 1 ? [...topics][0] : undefined, { 'messaging.batch.message_count': messages.length })
}

function start(topic: unknown, attributes: Readonly<Record<string, number>>): Span | undefined {
  const named = typeof topic === 'string'
  return startSpan({
    name: named ? `send ${topic}` : 'send',
    kind: 'producer',
    attributes: {
      'messaging.system': 'waybill',
      'messaging.operation.name': 'publish',
      'messaging.operation.type': 'send',
      ...(named && { 'messaging.destination.name': topic }),
      ...attributes,
    },
  })
}
