import type { Options } from 'amqplib'
import type { RabbitmqSettings } from '../../config/destinations/rabbitmq.js'
import type { OutboundMessage } from '../contract.js'

/** Most bytes of a routing key: an AMQP short string (AMQP 0-9-1, 4.2.5.3). */
export const maxRoutingKeyBytes = 255

/** Turns messages into what `basic.publish` takes; built once for each adapter, since it sits on the hot path. */
export interface Publications {
  readonly routingKey: (message: OutboundMessage) => string
  readonly properties: (message: OutboundMessage) => Options.Publish
}

export function publications(settings: Pick<RabbitmqSettings, 'routingKey'>): Publications {
  return { routingKey: routingKeyTemplate(settings.routingKey), properties }
}

/** True where every message gets the same routing key, and so goes the same way. */
export function isConstant(template: string): boolean {
  return !template.includes('{')
}

function routingKeyTemplate(template: string): (message: OutboundMessage) => string {
  if (template === '{topic}') return (message) => message.topic
  if (isConstant(template)) return () => template
  // A replacer, so that "$&" in a key is text.
  return (message) =>
    template.replaceAll(/\{(topic|key)\}/g, (_, name) => (name === 'topic' ? message.topic : (message.key ?? '')))
}

function properties(message: OutboundMessage): Options.Publish {
  return {
    mandatory: true,
    persistent: true,
    contentType: 'application/json',
    messageId: message.id,
    type: message.topic,
    timestamp: Math.floor(message.createdAt.getTime() / 1000),
    headers: headersOf(message),
  }
}

/**
 * Application headers, and the message's key as `key`. The system's `key` wins, also where it is absent: otherwise an
 * application header would pass for the key of a message that has none. `CC` and `BCC` are orders to RabbitMQ to route
 * copies (https://www.rabbitmq.com/docs/sender-selected), which is the routing key's business, so they are left out.
 */
function headersOf({ key, headers }: OutboundMessage): Record<string, string> | undefined {
  let result: Record<string, string> | undefined
  for (const name in headers) {
    if (name === 'key' || name === 'CC' || name === 'BCC') continue
    const value = headers[name]
    if (value !== undefined) (result ??= Object.create(null) as Record<string, string>)[name] = value
  }
  if (key !== null) (result ??= Object.create(null) as Record<string, string>)['key'] = key
  return result
}
