import type { EntityManager } from '@mikro-orm/postgresql'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(em: EntityManager, order: NewOrder): Promise<string> {
  return em.fork().transactional(async (tx) => {
    // Your own writes, with tx: tx.persist(order)
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
