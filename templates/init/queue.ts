import { Queue } from 'waybill'
import { topics } from './topics.js'

/** Publishes in your transactions: queue.publish(topic, payload, { tx, key }). */
export const queue = new Queue({ topics })
