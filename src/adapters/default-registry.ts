import { jobQueueAdapter } from './job-queue/index.js'
import { kafkaAdapter } from './kafka/index.js'
import { rabbitmqAdapter } from './rabbitmq/index.js'
import { AdapterRegistry } from './registry.js'
import { webhookAdapter } from './webhook/index.js'

/** Every kind of destination that Waybill brings. To add one, add a line. Broker clients load at the first connect. */
export function defaultRegistry(): AdapterRegistry {
  return new AdapterRegistry()
    .register(webhookAdapter)
    .register(rabbitmqAdapter)
    .register(kafkaAdapter)
    .register(jobQueueAdapter)
}
