import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('kysely').Kysely<any>} db
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(db, order) {
  return db.transaction().execute(async (trx) => {
    // Your own writes, with trx: await trx.insertInto('orders').values({ … }).execute()
    return queue.publish('order.created', order, { tx: trx, key: order.orderId })
  })
}
