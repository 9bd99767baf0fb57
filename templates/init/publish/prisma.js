import { queue } from './queue.js'

/**
 * Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id.
 *
 * @param {import('@prisma/client').PrismaClient} prisma
 * @param {{ orderId: string, cents: number }} order
 */
export async function createOrder(prisma, order) {
  return prisma.$transaction(async (tx) => {
    // Your own writes, with tx: await tx.order.create({ … })
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
