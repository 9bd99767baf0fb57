import type { Sequelize } from 'sequelize'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(sequelize: Sequelize, order: NewOrder): Promise<string> {
  return sequelize.transaction(async (transaction) => {
    // Your own writes: await Order.create({ … }, { transaction })
    return queue.publish('order.created', order, { tx: transaction, key: order.orderId })
  })
}
