import type { PrismaClient } from '@prisma/client'
import { queue } from './queue.js'

export type NewOrder = { orderId: string; cents: number }

/** Your rows and the message in one transaction: both are there, or neither. Resolves to the message's id. */
export async function createOrder(prisma: PrismaClient, order: NewOrder): Promise<string> {
  return prisma.$transaction(async (tx) => {
    // Your own writes, with tx: await tx.order.create({ … })
    return queue.publish('order.created', order, { tx, key: order.orderId })
  })
}
