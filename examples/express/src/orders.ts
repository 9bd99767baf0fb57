import type { ClientBase } from 'pg'
import { Queue } from 'waybill'
import { topics } from './topics.js'

/** Holds no connection: it writes in the transactions that it is given. */
export const queue = new Queue({ topics })

export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** The order and what the CRM hears of it: both are committed, or neither is. */
export async function placeOrder(tx: ClientBase, customer: string, cents: number): Promise<string> {
  const insert = 'insert into orders (customer, cents) values ($1, $2) returning id'
  const { rows } = await tx.query<{ id: string }>(insert, [customer, cents])
  const orderId = rows[0]?.id ?? ''
  await queue.publish('order.created', { orderId, customer, cents }, { tx, key: orderId })
  return orderId
}

/** Locks the order's row first: what is published about one order is published in the order of its changes. */
export async function payOrder(tx: ClientBase, orderId: string, cents: number): Promise<void> {
  const update = `update orders set status = 'paid' where id = $1 and status = 'created'`
  const { rowCount } = await tx.query(update, [orderId])
  if (rowCount === 0) throw new Refused(409, `order ${orderId} is not to be paid`)
  await tx.query('insert into payments (order_id, cents) values ($1, $2)', [orderId, cents])
  await queue.publish('order.paid', { orderId, cents }, { tx, key: orderId })
}
