import { Queue } from 'waybill'
import { z } from 'zod'
import { prisma, type Tx } from './database.js'
import { topics } from './topics.js'

export const queue = new Queue({ topics })

/** What the caller asked for can't be done. Thrown inside a transaction it takes everything back, messages too. */
export class Refused extends Error {
  readonly status: number
  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

const newOrder = z.strictObject({ customer: z.string().min(1), sku: z.string(), quantity: z.int().positive() })

/** POST /orders */
export async function createOrder(_id: string, body: unknown) {
  const { customer, sku, quantity } = newOrder.parse(body)
  return prisma.$transaction(async (tx) => {
    const product = await tx.product.findUnique({ where: { sku } })
    if (product === null) throw new Refused(404, `there is no product ${sku}`)
    const order = await tx.order.create({ data: { customer, sku, quantity, cents: product.cents } })
    const { id: orderId, version, cents } = order
    const id = await queue.publish(
      'order.created',
      { orderId, version, customer, sku, quantity, cents },
      { tx, key: orderId },
    )
    // Last, because everybody who orders this product waits for the lock on its row.
    const taken = await tx.product.updateMany({
      where: { sku, stock: { gte: quantity } },
      data: { stock: { decrement: quantity } },
    })
    if (taken.count === 0) throw new Refused(409, `${sku} is out of stock`)
    return { order, messages: [{ id, topic: 'order.created', version }] }
  })
}

/** POST /orders/:id/pay */
export async function payOrder(orderId: string, body: unknown) {
  const { card } = z.strictObject({ card: z.enum(['good', 'declined']) }).parse(body)
  return prisma.$transaction(async (tx) => {
    const order = await move(tx, orderId, ['created'], 'paid', 2)
    const { version, cents } = order
    const messages = [
      { topic: 'order.paid', payload: { orderId, version: version - 1, cents }, key: orderId },
      { topic: 'payment.captured', payload: { orderId, version, cents }, key: orderId },
    ] as const
    const ids = await queue.publishMany(messages, { tx })
    // After the publish on purpose: what was published is taken back with everything else.
    if (card === 'declined') throw new Refused(402, 'the card was declined')
    return {
      order,
      messages: messages.map(({ topic, payload }, i) => ({ id: ids[i], topic, version: payload.version })),
    }
  })
}

/** POST /orders/:id/ship */
export async function shipOrder(orderId: string) {
  return prisma.$transaction(async (tx) => {
    const order = await move(tx, orderId, ['paid'], 'shipped', 1)
    const { version } = order
    const id = await queue.publish('order.shipped', { orderId, version }, { tx, key: orderId })
    return { order, messages: [{ id, topic: 'order.shipped', version }] }
  })
}

/** POST /orders/:id/cancel */
export async function cancelOrder(orderId: string, body: unknown) {
  const { reason } = z.strictObject({ reason: z.string().min(1) }).parse(body)
  return prisma.$transaction(async (tx) => {
    const order = await move(tx, orderId, ['created'], 'cancelled', 1)
    const { version } = order
    const id = await queue.publish('order.cancelled', { orderId, version, reason }, { tx, key: orderId })
    return { order, messages: [{ id, topic: 'order.cancelled', version }] }
  })
}

/** POST /orders/:id/refund */
export async function refundOrder(orderId: string) {
  return prisma.$transaction(async (tx) => {
    const order = await move(tx, orderId, ['paid'], 'cancelled', 1)
    const { version, cents } = order
    const id = await queue.publish('payment.refunded', { orderId, version, cents }, { tx, key: orderId })
    return { order, messages: [{ id, topic: 'payment.refunded', version }] }
  })
}

/** GET /orders/:id */
export async function showOrder(id: string) {
  const order = await prisma.order.findUnique({ where: { id } })
  if (order === null) throw new Refused(404, `there is no order ${id}`)
  return { order }
}

/**
 * Changes an order's status and locks its row until the transaction ends. Publishing after that, two requests about one
 * order publish in the order in which they commit.
 */
async function move(tx: Tx, id: string, from: string[], to: string, messages: number) {
  const moved = await tx.order.updateManyAndReturn({
    where: { id, status: { in: from } },
    data: { status: to, version: { increment: messages } },
  })
  const [order] = moved
  if (order === undefined) throw new Refused(409, `order ${id} is not ${from.join(' or ')}`)
  return order
}
