import { conformance } from './conformance.js'
import { kafkaDestination } from './kafka-fixture.js'

conformance('kafka', () => kafkaDestination(), {
  topics: ['order.created', 'order.shipped'],
  systemHeaders: ['id', 'topic'],
})
