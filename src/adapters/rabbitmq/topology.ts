import type { Channel, Options } from 'amqplib'
import type { RabbitmqSettings } from '../../config/destinations/rabbitmq.js'

type Topology = NonNullable<RabbitmqSettings['declare']>
type Queue = Topology['queues'][number]
type Exchange = Topology['exchanges'][number]

/**
 * Declares exchanges, queues and bindings, in that order. Declaring what is there already, alike, changes nothing.
 * Where something there differs, the broker closes the channel with 406 and says which property.
 */
export async function declareTopology(channel: Channel, topology: Topology): Promise<void> {
  for (const exchange of topology.exchanges) {
    await channel.assertExchange(exchange.name, exchange.type, exchangeOptions(exchange))
  }
  for (const queue of topology.queues) await channel.assertQueue(queue.name, queueOptions(queue))
  for (const binding of topology.bindings) {
    await channel.bindQueue(binding.queue, binding.exchange, binding.routingKey, binding.arguments)
  }
}

function exchangeOptions({ durable, autoDelete, internal, alternateExchange, arguments: more }: Exchange) {
  const options: Options.AssertExchange = { durable, autoDelete, internal, arguments: more }
  if (alternateExchange !== undefined) options.alternateExchange = alternateExchange
  return options
}

/** Optional queue arguments by the names of https://www.rabbitmq.com/docs/queues#optional-arguments. */
function queueOptions(queue: Queue): Options.AssertQueue {
  const named: Record<string, string | number | undefined> = {
    'x-queue-type': queue.type,
    'x-dead-letter-exchange': queue.deadLetterExchange,
    'x-dead-letter-routing-key': queue.deadLetterRoutingKey,
    'x-message-ttl': queue.messageTtl,
    'x-max-length': queue.maxLength,
    'x-max-length-bytes': queue.maxLengthBytes,
    'x-overflow': queue.overflow,
    'x-delivery-limit': queue.deliveryLimit,
  }
  const given = Object.entries(named).filter(([, value]) => value !== undefined)
  return { durable: queue.durable, arguments: { ...queue.arguments, ...Object.fromEntries(given) } }
}
