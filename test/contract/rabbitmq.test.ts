import { conformance } from './conformance.js'
import { rabbitDestination } from './rabbitmq-fixture.js'

conformance('rabbitmq', () => rabbitDestination(), {
  topics: ['order.created', 'order.shipped'],
  systemHeaders: ['key'],
})
