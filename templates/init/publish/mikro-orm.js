import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('@mikro-orm/postgresql').EntityManager} em
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(em, order) {
  return em.fork().transactional(async (tx) => {
    // Your own writes, with tx: tx.persist(order)
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
