import type { Kysely } from 'kysely'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder<Tables>(db: Kysely<Tables>, order: NewOrder): Promise<string> {
  return db.transaction().execute(async (trx) => {
    // Your own writes, with trx: await trx.insertInto('orders').values({ … }).execute()
    return queue.publish('order.created', order, { tx: trx, key: order.orderId })
  })
}
