import { and, eq } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import type { Queue } from 'waybill'
import { orders, payments } from './tables.js'
import type { topics } from './topics.js'

export type OrderQueue = Queue<typeof topics>
export type Tx = Parameters<Parameters<NodePgDatabase['transaction']>[0]>[0]

/** The order and what the CRM hears of it: both are committed, or neither is. */
export async function placeOrder(tx: Tx, queue: OrderQueue, customer: string, cents: number): Promise<string> {
  const [order] = await tx.insert(orders).values({ customer, cents }).returning({ orderId: orders.id })
  if (order === undefined) throw new Error('the insert gave no row')
  const { orderId } = order
  await queue.publish('order.created', { orderId, customer, cents }, { tx, key: orderId })
  return orderId
}

/** False when there is no such order to be paid; then nothing was written. */
export async function payOrder(tx: Tx, queue: OrderQueue, orderId: string, cents: number): Promise<boolean> {
  const paid = await tx
    .update(orders)
    .set({ status: 'paid' })
    .where(and(eq(orders.id, orderId), eq(orders.status, 'created')))
  if (paid.rowCount === 0) return false
  await tx.insert(payments).values({ orderId, cents })
  await queue.publish('order.paid', { orderId, cents }, { tx, key: orderId })
  return true
}
