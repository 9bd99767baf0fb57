import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('knex').Knex} knex
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(knex, order) {
  return knex.transaction(async (trx) => {
    // Your own writes, with trx: await trx('orders').insert({ … })
    return queue.publish('order.created', order, { tx: trx, key: order.orderId })
  })
}
