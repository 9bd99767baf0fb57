import type { RabbitmqSettings } from '../../config/destinations/rabbitmq.js'
import type { AdapterFactory } from '../contract.js'
import { RabbitmqAdapter } from './adapter.js'

/** RabbitMQ by AMQP 0-9-1, with publisher confirms. `amqplib` is an optional peer, loaded at the first delivery. */
export const rabbitmqAdapter: AdapterFactory<RabbitmqSettings> = {
  kind: 'rabbitmq',
  receiptsByDefault: false,
  create: (settings, context) => new RabbitmqAdapter(settings, context),
}
