import { z } from 'zod'
import { duration, flag, oneOf, text, wholeNumber } from '../fields.js'
import { secret } from './secret.js'
import { brokerTls } from './tls.js'

const urlHelp = 'must be an amqp:// or amqps:// URL, such as "amqps://user:password@broker:5671/vhost"'

function isAmqpUrl(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, hostname } = new URL(value)
  return (protocol === 'amqp:' || protocol === 'amqps:') && hostname !== ''
}

const templateHelp = 'must be text in which {topic} and {key} are the only placeholders, such as "orders.{topic}"'

const routingKey = z
  .string({ error: templateHelp })
  .max(255, { error: 'must not be longer than 255 characters' })
  .refine((template) => !/[{}]/.test(template.replaceAll(/\{(topic|key)\}/g, '')), { error: templateHelp })

const shortName = text.max(255, { error: 'must not be longer than 255 characters' })

/** Further arguments of a declaration, as the broker's documentation names them: `{ 'x-max-priority': 10 }`. */
const extraArguments = z
  .record(
    z.string(),
    z.union([z.string(), z.number(), z.boolean()], { error: 'must be text, a number, true or false' }),
  )
  .default({})

const exchange = z.strictObject({
  name: shortName,
  /** `topic` (default), `direct`, `fanout`, `headers`, or a type that a plugin brings. */
  type: text.default('topic'),
  /** Survives a restart of the broker. Default true. */
  durable: flag.default(true),
  /** Goes when its last binding goes. Default false. */
  autoDelete: flag.default(false),
  /** Takes messages from other exchanges alone. Default false. */
  internal: flag.default(false),
  /** Exchange that gets what this one cannot route. Default: none. */
  alternateExchange: shortName.optional(),
  arguments: extraArguments,
})

const queue = z.strictObject({
  name: shortName,
  /** `quorum` (default): replicated, survives the loss of a node. `classic`: on one node. `stream`: a log. */
  type: oneOf(['quorum', 'classic', 'stream']).default('quorum'),
  /** Survives a restart of the broker. Default true; quorum queues and streams have to. */
  durable: flag.default(true),
  /** Exchange that gets what is rejected, expires or overflows. Default: none. */
  deadLetterExchange: z.string().max(255).optional(),
  /** Routing key for that exchange. Default: the message's own. */
  deadLetterRoutingKey: z.string().max(255).optional(),
  /** How long a message may wait in the queue. Default: for ever. */
  messageTtl: duration(0, '365d').optional(),
  /** Messages in the queue, at most. Default: no limit. */
  maxLength: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
  /** Bytes of bodies in the queue, at most. Default: no limit. */
  maxLengthBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER).optional(),
  /** At a limit: `drop-head` loses the oldest message, `reject-publish` refuses the newest, which Waybill then retries. Default: the broker's, `drop-head`. */
  overflow: oneOf(['drop-head', 'reject-publish', 'reject-publish-dlx']).optional(),
  /** Deliveries to consumers before a quorum queue dead-letters a message. Default: the broker's. */
  deliveryLimit: wholeNumber(1, 1_000_000).optional(),
  arguments: extraArguments,
})

const binding = z.strictObject({
  /** The exchange that routes. */
  exchange: shortName,
  /** The queue that gets what matches. */
  queue: shortName,
  /** Routing key, or a pattern for a topic exchange: `order.*`, `order.#`. Default `#`, which takes all of a topic or fanout exchange. */
  routingKey: z.string().max(255).default('#'),
  arguments: extraArguments,
})

const topology = z.strictObject({
  exchanges: z.array(exchange).default([]),
  queues: z.array(queue).default([]),
  bindings: z.array(binding).default([]),
})

/** Settings of a destination of kind `rabbitmq`: each message is published to an exchange and confirmed by the broker. */
export const rabbitmqSettings = z.strictObject({
  /** `amqp://` or `amqps://` URL with user, password and virtual host. It holds a password: use `env('NAME')`. */
  url: secret.refine((url) => isAmqpUrl(url.reveal()), { error: urlHelp }),
  /** Exchange to publish to. `''` is the broker's default exchange, where the routing key names a queue. */
  exchange: z.string({ error: 'must be text: the name of an exchange, or "" for the default one' }).max(255),
  /** Routing key: text with `{topic}` and `{key}` (empty where a message has no key). Default `{topic}`. */
  routingKey: routingKey.default('{topic}'),
  /**
   * What it means when the exchange has no queue for a message. `retry`: an attempt is charged. `dead`: no retry.
   * `misconfigured`: the destination pauses until a queue is bound. Default: `misconfigured` where `routingKey` has no
   * placeholder, since all messages then share one fate, else `retry`.
   */
  unroutable: oneOf(['retry', 'dead', 'misconfigured']).optional(),
  /** Messages published and not yet confirmed, at most, 1–65,535. Default 1,000. */
  inFlight: wholeNumber(1, 65_535).default(1000),
  /** A confirm that takes longer counts as lost, and so does its connection. 10 ms – 1 h, default 30 s. */
  confirmTimeout: duration(10, '1h').prefault('30s'),
  /** For connecting, signing in and declaring, together. 10 ms – 5 min, default 10 s. */
  connectTimeout: duration(10, '5m').prefault('10s'),
  /** Interval of heartbeats; two missed ones end the connection. Whole seconds, 1 s – 10 min, default 10 s. */
  heartbeat: duration('1s', '10m').prefault('10s'),
  /** For `amqps://`. Default: Node's own certificates, no client certificate. */
  tls: brokerTls.optional(),
  /** Exchanges, queues and bindings to declare at each connect. Default: none, they are expected to be there. */
  declare: topology.optional(),
})

export type RabbitmqSettings = z.output<typeof rabbitmqSettings>
export type RabbitmqOptions = z.input<typeof rabbitmqSettings>
