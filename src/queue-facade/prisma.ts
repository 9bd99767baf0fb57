/** The subpath `waybill/prisma`: publishing as a method of Prisma's own client. Nothing of Prisma is imported. */
import type { Message, MessageOptions, TransactionOption } from './options.js'
import type { PayloadOf, TopicMap, TopicOf } from './topics.js'
import type { PrismaTransaction } from '../transactions/prisma.js'

/** What is used of a `Queue`, so that one of another copy of the package will do. */
export interface PrismaQueue<Topics extends TopicMap> {
  publish<Topic extends TopicOf<Topics>>(
    topic: Topic,
    payload: PayloadOf<Topics, Topic>,
    options: MessageOptions & TransactionOption,
  ): Promise<string>
  publishMany(messages: readonly Message<Topics>[], options: TransactionOption): Promise<string[]>
  cancel(id: string, options: TransactionOption): Promise<boolean>
}

/**
 * The methods. They are called on a client, their `this`: a root PrismaClient has `$connect`, the `tx` of an interactive
 * transaction has not, so the compiler refuses the root's `prisma.$publish(…)`, and so does `Queue` at run time. Not an
 * interface: Prisma takes only types that an index signature fits.
 */
export type WaybillPrismaMethods<Topics extends TopicMap> = {
  /** `Queue.publish` in this transaction: gives the message's id; rejects as that does. */
  $publish<Topic extends TopicOf<Topics>>(
    this: PrismaTransaction,
    topic: Topic,
    payload: PayloadOf<Topics, Topic>,
    options?: MessageOptions,
  ): Promise<string>
  /** `Queue.publishMany` in this transaction: an id for each. */
  $publishMany(this: PrismaTransaction, messages: readonly Message<Topics>[]): Promise<string[]>
  /** `Queue.cancel` in this transaction: false when the message is not scheduled any more. */
  $cancelMessage(this: PrismaTransaction, id: string): Promise<boolean>
}

export interface WaybillPrismaExtension<Topics extends TopicMap> {
  readonly name: 'waybill'
  readonly client: WaybillPrismaMethods<Topics>
}

/**
 * An extension of Prisma's client, 6 or 7: `const prisma = new PrismaClient(…).$extends(waybillPrisma(queue))`, then
 * `prisma.$transaction(async (tx) => { await tx.$publish('order.created', payload, { key }) })`. On the root client the
 * methods reject with an `InputError` (`WAYBILL_TX_INVALID`): publishing apart from one's data is what an outbox prevents.
 */
export function waybillPrisma<Topics extends TopicMap>(queue: PrismaQueue<Topics>): WaybillPrismaExtension<Topics> {
  return {
    name: 'waybill',
    client: {
      $publish(topic, payload, options) {
        return queue.publish(topic, payload, { ...options, tx: this })
      },
      $publishMany(messages) {
        return queue.publishMany(messages, { tx: this })
      },
      $cancelMessage(id) {
        return queue.cancel(id, { tx: this })
      },
    },
  }
}
