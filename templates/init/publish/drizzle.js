import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('drizzle-orm/node-postgres').NodePgDatabase<any>} db
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(db, order) {
  return db.transaction(async (tx) => {
    // Your own writes, with tx: await tx.insert(orders).values({ … })
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
