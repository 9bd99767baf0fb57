import { HTTPException } from 'hono/http-exception'
import type { TransactionSql } from 'postgres'
import { Queue } from 'waybill'
import { topics } from './topics.js'

/** Holds no connection: it writes in the transactions that it is given. */
export const queue = new Queue({ topics })

/** The order and what the CRM hears of it: both are committed, or neither is. */
export async function placeOrder(tx: TransactionSql, customer: string, cents: number): Promise<string> {
  const [order] = await tx<{ id: string }[]>`
    insert into orders (customer, cents) values (${customer}, ${cents}) returning id`
  const orderId = order?.id ?? ''
  await queue.publish('order.created', { orderId, customer, cents }, { tx, key: orderId })
  return orderId
}

/** Locks the order's row first: what is published about one order is published in the order of its changes. */
export async function payOrder(tx: TransactionSql, orderId: string, cents: number): Promise<void> {
  const { count } = await tx`update orders set status = 'paid' where id = ${orderId} and status = 'created'`
  if (count === 0) throw new HTTPException(409, { message: `order ${orderId} is not to be paid` })
  await tx`insert into payments (order_id, cents) values (${orderId}, ${cents})`
  await queue.publish('order.paid', { orderId, cents }, { tx, key: orderId })
}
