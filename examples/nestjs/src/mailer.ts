import { Injectable, Logger } from '@nestjs/common'
import { Pool } from 'pg'
import { OnMessage, type Job } from 'waybill/nestjs'
import { topics } from './topics.js'

/** Jobs run at least once: a mail's row, by the message's id, is what a second run would find. */
@Injectable()
export class Mailer {
  readonly #logger = new Logger(Mailer.name)

  constructor(private readonly pool: Pool) {}

  @OnMessage('order.created', { queue: 'mail', concurrency: 5 })
  async confirm(job: Job): Promise<void> {
    const { orderId, customer } = topics['order.created'].parse(job.args)
    await this.#send(job.messageId, orderId, `Thank you, ${customer}`)
  }

  @OnMessage('order.cancelled', { queue: 'mail' })
  async regret(job: Job): Promise<void> {
    const { orderId, reason } = topics['order.cancelled'].parse(job.args)
    await this.#send(job.messageId, orderId, `Your order is cancelled: ${reason}`)
  }

  async #send(messageId: string, orderId: string, subject: string): Promise<void> {
    await this.pool.query(
      'insert into mails (message_id, order_id, subject) values ($1, $2, $3) on conflict do nothing',
      [messageId, orderId, subject],
    )
    this.#logger.log(subject)
  }
}
