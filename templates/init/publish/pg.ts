import type { Pool } from 'pg'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(pool: Pool, order: NewOrder): Promise<string> {
  const client = await pool.connect()
  try {
    await client.query('begin')
    // Your own statements, with this client.
    const messageId = await queue.publish('order.created', order, { tx: client, key: order.orderId })
    await client.query('commit')
    return messageId
  } catch (error) {
    await client.query('rollback')
    throw error
  } finally {
    client.release()
  }
}
