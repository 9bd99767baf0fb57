/** The public entrance `waybill/config`: what a configuration file is written with, and reading one. */
export { defineConfig, env, jobs, kafka, rabbitmq, webhook } from './define.js'
export { type Environment, type EnvReference, type Secret, type SecretInput } from './destinations/secret.js'
export {
  type BackoffOptions,
  type DeliveryOptions,
  type ResolvedDelivery,
  type Timestamp,
} from './destinations/delivery.js'
export { type JobsOptions, type JobsSettings } from './destinations/jobs.js'
export { type KafkaOptions, type KafkaSettings } from './destinations/kafka.js'
export { type RabbitmqOptions, type RabbitmqSettings } from './destinations/rabbitmq.js'
export { type WebhookOptions, type WebhookSettings } from './destinations/webhook.js'
export { type DurationInput } from './fields.js'
export { configFileNames } from './file-names.js'
export { findConfigFile, loadConfig, type LoadOptions } from './load.js'
export { fingerprintConfig, redact, type Json } from './redact.js'
export { resolveConfig, type ResolvedConfig, type ResolvedDestination, type ResolvedRoute } from './resolve.js'
export {
  type DatabaseConfig,
  type DestinationConfig,
  type DispatcherConfig,
  type LogLevel,
  type WaybillConfig,
} from './types.js'
