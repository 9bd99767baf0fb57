import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('typeorm').DataSource} dataSource
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(dataSource, order) {
  return dataSource.transaction(async (manager) => {
    // Your own writes, with manager: await manager.save(order)
    return queue.publish('order.created', order, { tx: manager, key: order.orderId })
  })
}
