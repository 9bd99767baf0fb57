import type { JobsOptions } from './destinations/jobs.js'
import type { KafkaOptions } from './destinations/kafka.js'
import type { RabbitmqOptions } from './destinations/rabbitmq.js'
import type { WebhookOptions } from './destinations/webhook.js'
import type { DeliveryOptions } from './destinations/delivery.js'
import type { DestinationConfig, WaybillConfig } from './types.js'

/** What a configuration file is written with. */

/**
 * Types a configuration and gives it back; it is checked when it is loaded. A route to a destination that is not there
 * is an error of the compiler.
 */
export function defineConfig<const Names extends string>(config: WaybillConfig<Names>): WaybillConfig<Names> {
  return config
}

/** A destination that is an HTTP endpoint: each message is one signed POST (Standard Webhooks). */
export function webhook(options: WebhookOptions & DeliveryOptions): DestinationConfig<'webhook', WebhookOptions> {
  return { kind: 'webhook', options }
}

/** A destination that is a RabbitMQ exchange: each message is published with a confirm. */
export function rabbitmq(options: RabbitmqOptions & DeliveryOptions): DestinationConfig<'rabbitmq', RabbitmqOptions> {
  return { kind: 'rabbitmq', options }
}

/** A destination that is Kafka: each message is one record, acknowledged by all in-sync replicas. */
export function kafka(options: KafkaOptions & DeliveryOptions): DestinationConfig<'kafka', KafkaOptions> {
  return { kind: 'kafka', options }
}

/** A destination that is the job queue in this database: each message becomes one job, exactly once. */
export function jobs(options: JobsOptions & DeliveryOptions = {}): DestinationConfig<'jobs', JobsOptions> {
  return { kind: 'jobs', options }
}

export { env } from './destinations/secret.js'
