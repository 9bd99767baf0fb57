import type { Sql } from 'postgres'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(sql: Sql, order: NewOrder): Promise<string> {
  return sql.begin(async (tx) => {
    // Your own statements, with tx: await tx`insert into orders …`
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
