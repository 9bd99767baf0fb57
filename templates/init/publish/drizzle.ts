import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(db: NodePgDatabase<Record<string, unknown>>, order: NewOrder): Promise<string> {
  return db.transaction(async (tx) => {
    // Your own writes, with tx: await tx.insert(orders).values({ … })
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
