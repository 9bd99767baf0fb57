import type { DataSource } from 'typeorm'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(dataSource: DataSource, order: NewOrder): Promise<string> {
  return dataSource.transaction(async (manager) => {
    // Your own writes, with manager: await manager.save(order)
    return queue.publish('order.created', order, { tx: manager, key: order.orderId })
  })
}
