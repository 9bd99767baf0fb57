import { isIPv6 } from 'node:net'
import { z } from 'zod'
import { duration, flag, oneOf, text, wholeNumber } from '../fields.js'
import { secret } from './secret.js'
import { brokerTls } from './tls.js'

const brokerHelp = 'must be "host:port", such as "kafka-1:9092" or "[fd00::1]:9092"'

const broker = z.string({ error: brokerHelp }).refine((text) => isBroker(text), { error: brokerHelp })

function isBroker(text: string): boolean {
  const [, host = '', port] = /^(\[[0-9a-fA-F:.]+\]|[^\s:/@[\]]+):(\d{1,5})$/.exec(text) ?? []
  if (Number(port) > 65_535) return false
  return host !== '' && (!host.startsWith('[') || isIPv6(host.slice(1, -1)))
}

const templateHelp =
  'must be a Kafka topic (letters, digits, ".", "_", "-") in which {topic} is the only placeholder, such as "{topic}" or "crm.{topic}"'

const topicTemplate = z
  .string({ error: templateHelp })
  .max(249, { error: 'must not be longer than 249 characters' })
  .refine((template) => /^[A-Za-z0-9._-]+$/.test(template.replaceAll('{topic}', 'a')), { error: templateHelp })

const sasl = z.strictObject({
  /** `plain`, `scram-sha-256` or `scram-sha-512`. */
  mechanism: oneOf(['plain', 'scram-sha-256', 'scram-sha-512']),
  username: text,
  password: secret,
})

/** Settings of a destination of kind `kafka`: each message becomes one record, acknowledged by all in-sync replicas. */
export const kafkaSettings = z.strictObject({
  /** Brokers to ask for the cluster's layout, `host:port`, at least one. */
  brokers: z.array(broker).min(1, { error: 'must name at least one broker' }),
  /** How the brokers see this client in their logs and quotas. Default `waybill`. */
  clientId: text.default('waybill'),
  /** The Kafka topic: fixed text, or `{topic}` for the message's topic. It has to exist; Waybill creates none. Default `{topic}`. */
  topic: topicTemplate.default('{topic}'),
  /**
   * What it means when the Kafka topic does not exist. `retry`: an attempt is charged. `dead`: no retry. `misconfigured`:
   * the destination pauses until somebody creates it. Default: `misconfigured` where `topic` has no placeholder, since
   * all messages then share one fate, else `retry`.
   */
  unknownTopic: oneOf(['retry', 'dead', 'misconfigured']).optional(),
  /** `plain`: key, payload and headers as they are. The only layout so far. */
  layout: oneOf(['plain']).default('plain'),
  /** `none` (default) or `gzip`. */
  compression: oneOf(['none', 'gzip']).default('none'),
  /**
   * Bytes of records sent to a partition at once, before compression, 1,000–100,000,000. A larger record goes alone. Keep
   * it below the topic's `max.message.bytes` (1,048,588 unless changed). Default 900,000.
   */
  batchBytes: wholeNumber(1000, 100_000_000).default(900_000),
  /** TLS: `true` for Node's own certificates, or one's own. Default false. */
  ssl: z
    .union([flag, brokerTls], { error: 'must be true, false or an object with ca, cert, key, passphrase, servername' })
    .default(false),
  /** Sign-in. Default: none. */
  sasl: sasl.optional(),
  /** For a TCP and TLS connection. 10 ms – 5 min, default 5 s. */
  connectionTimeout: duration(10, '5m').prefault('5s'),
  /** For each answer of a broker, replication included. 10 ms – 10 min, default 30 s. */
  requestTimeout: duration(10, '10m').prefault('30s'),
  /** How long the list of a topic's partitions is believed. 1 s – 1 day, default 5 min. */
  metadataMaxAge: duration('1s', '1d').prefault('5m'),
})

export type KafkaSettings = z.output<typeof kafkaSettings>
export type KafkaOptions = z.input<typeof kafkaSettings>
