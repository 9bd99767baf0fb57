import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('sequelize').Sequelize} sequelize
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(sequelize, order) {
  return sequelize.transaction(async (transaction) => {
    // Your own writes: await Order.create({ … }, { transaction })
    return queue.publish('order.created', order, { tx: transaction, key: order.orderId })
  })
}
