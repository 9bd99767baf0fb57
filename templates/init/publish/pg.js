import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('pg').Pool} pool
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(pool, order) {
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
