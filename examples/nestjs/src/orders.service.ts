import { BadRequestException, ConflictException, Injectable, NotFoundException } from '@nestjs/common'
import { Pool, type PoolClient } from 'pg'
import { Queue } from 'waybill'
import { z } from 'zod'
import { topics } from './topics.js'

const newOrder = z.object({ customer: z.string().min(1), cents: z.int().positive() })

/** Changes an order and publishes, in one transaction: what is rolled back, nobody hears of. */
@Injectable()
export class OrdersService {
  constructor(
    private readonly pool: Pool,
    private readonly queue: Queue<typeof topics>,
  ) {}

  async place(body: unknown): Promise<{ id: string }> {
    const order = newOrder.safeParse(body)
    if (!order.success) throw new BadRequestException(z.prettifyError(order.error))
    const { customer, cents } = order.data
    return this.#transaction(async (tx) => {
      const { rows } = await tx.query<{ id: string }>(
        'insert into orders (customer, cents) values ($1, $2) returning id',
        [customer, cents],
      )
      const id = rows[0]!.id
      await this.queue.publish('order.created', { orderId: id, customer, cents }, { tx, key: id })
      return { id }
    })
  }

  async cancel(id: string): Promise<void> {
    await this.#transaction(async (tx) => {
      // locks the order's row first: what is published about it is in the order of the commits
      const { rows } = await tx.query<{ status: string }>('select status from orders where id = $1 for update', [id])
      if (rows[0] === undefined) throw new NotFoundException()
      await this.queue.publish('order.cancelled', { orderId: id, reason: 'the customer asked' }, { tx, key: id })
      // the message is written by now, and goes with the transaction
      if (rows[0].status === 'cancelled') throw new ConflictException('it is cancelled already')
      await tx.query(`update orders set status = 'cancelled' where id = $1`, [id])
    })
  }

  async show(id: string): Promise<{ status: string; mails: string[] }> {
    const { rows } = await this.pool.query<{ status: string; mails: string[] }>(
      `select status, array(select subject from mails where order_id = o.id order by subject) as mails
       from orders o where id = $1`,
      [id],
    )
    if (rows[0] === undefined) throw new NotFoundException()
    return rows[0]
  }

  async #transaction<Result>(work: (tx: PoolClient) => Promise<Result>): Promise<Result> {
    const client = await this.pool.connect()
    try {
      await client.query('begin')
      const result = await work(client)
      await client.query('commit')
      return result
    } catch (error) {
      await client.query('rollback')
      throw error
    } finally {
      client.release()
    }
  }
}
