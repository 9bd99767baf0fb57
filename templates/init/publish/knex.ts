import type { Knex } from 'knex'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(knex: Knex, order: NewOrder): Promise<string> {
  return knex.transaction(async (trx) => {
    // Your own writes, with trx: await trx('orders').insert({ … })
    return queue.publish('order.created', order, { tx: trx, key: order.orderId })
  })
}
