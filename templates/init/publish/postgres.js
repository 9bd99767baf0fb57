import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('postgres').Sql} sql
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(sql, order) {
  return sql.begin(async (tx) => {
    // Your own statements, with tx: await tx`insert into orders …`
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
