import type { KafkaSettings } from '../../config/destinations/kafka.js'
import type { AdapterFactory } from '../contract.js'
import { KafkaAdapter } from './adapter.js'
import { connectKafkajs } from './kafkajs-client.js'

/** Kafka, acknowledged by all in-sync replicas. `kafkajs` is an optional peer, loaded at the first delivery. */
export const kafkaAdapter: AdapterFactory<KafkaSettings> = {
  kind: 'kafka',
  receiptsByDefault: false,
  create: (settings, context) => new KafkaAdapter(settings, context, () => connectKafkajs(settings, context)),
}
