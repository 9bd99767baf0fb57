import type { ChannelModel, ConfirmChannel, Message } from 'amqplib'
import { messageOf } from '../../core/errors.js'
import type { Outcome, OutboundMessage } from '../contract.js'
import type { Flight } from './flight.js'
import { dead, isTooLarge, lostOutcome, pause, retry } from './failures.js'
import { maxRoutingKeyBytes, type Publications } from './publication.js'
import { hangUp } from './socket.js'

/** A message that was published and awaits its confirm. */
interface Sent {
  readonly flight: Flight
  readonly index: number
  readonly routingKey: string
  readonly bytes: number
  /** `performance.now()` of the publish. */
  readonly at: number
  /** The broker's words, when it found no queue for it. */
  returned: string | undefined
}

export interface LinkOptions {
  readonly exchange: string
  readonly publications: Publications
  /** Outcome of a message that no queue takes. */
  unroutable(text: string): Outcome
  /** Messages without a confirm, at most. */
  readonly inFlight: number
  readonly confirmTimeoutMs: number
  /** The link is of no use any more: its channel or its connection is gone. Called once. */
  onLost(reason: Outcome): void
}

/**
 * One connection with one confirm channel, until the first of them fails: amqplib recovers neither, and a channel that
 * was closed for one message has dropped the confirms of all others, so both are replaced together.
 */
export class Link {
  readonly #connection: ChannelModel
  readonly #channel: ConfirmChannel
  readonly #options: LinkOptions
  /** In publish order, so the first is the oldest. */
  readonly #sent = new Set<Sent>()
  /** Calls that have messages to send, oldest first. */
  readonly #waiting: Flight[] = []
  #writable = true
  #nacking = false
  #blocked: string | undefined
  #cause: unknown
  #lost = false
  #watch: NodeJS.Timeout | undefined

  constructor(connection: ChannelModel, channel: ConfirmChannel, options: LinkOptions) {
    this.#connection = connection
    this.#channel = channel
    this.#options = options
    connection.on('error', (error: Error) => (this.#cause ??= error))
    connection.on('close', (error?: Error) => this.#lose(error))
    connection.on('blocked', (reason: string) => this.#block(reason))
    connection.on('unblocked', () => (this.#blocked = undefined))
    channel.on('error', (error: Error) => (this.#cause ??= error))
    channel.on('close', () => this.#lose())
    channel.on('drain', () => {
      this.#writable = true
      this.#pump()
    })
    channel.on('return', (message: Message) => this.#returned(message))
    // A confirm callback gets an Error without a code both for a nack and for a closed channel; the event tells which.
    channel.prependListener('nack', () => (this.#nacking = true))
    channel.on('nack', () => (this.#nacking = false))
  }

  get lost(): boolean {
    return this.#lost
  }

  /** Sends the call's messages as the window allows, and settles each when its confirm comes. */
  submit(flight: Flight): void {
    // It went between the end of connecting and this call: nothing was sent, so nothing is settled.
    if (this.#lost) return flight.end()
    if (this.#blocked !== undefined) flight.settleUnsent(blockedOutcome(this.#blocked))
    this.#waiting.push(flight)
    this.#pump()
  }

  /** Says goodbye to the broker, which takes at most `withinMs`, and frees the socket. */
  async close(withinMs: number): Promise<void> {
    clearTimeout(this.#watch)
    if (!this.#lost) {
      this.#lost = true
      await hangUp(this.#connection, withinMs)
    }
  }

  #pump(): void {
    const now = performance.now()
    while (this.#writable && !this.#lost && this.#sent.size < this.#options.inFlight) {
      const flight = this.#waiting[0]
      if (flight === undefined) return
      if (flight.over || flight.next >= flight.batch.length) this.#waiting.shift()
      else this.#send(flight, flight.next++, now)
    }
  }

  #send(flight: Flight, index: number, now: number): void {
    const message = flight.batch[index] as OutboundMessage
    const { exchange, publications } = this.#options
    const routingKey = publications.routingKey(message)
    if (routingKey.length * 3 > maxRoutingKeyBytes && Buffer.byteLength(routingKey) > maxRoutingKeyBytes) {
      return flight.settle(
        index,
        dead('AMQP_ROUTING_KEY_TOO_LONG', `the routing key has ${Buffer.byteLength(routingKey)} bytes; AMQP takes 255`),
      )
    }
    const content = Buffer.from(message.payload)
    const sent: Sent = { flight, index, routingKey, bytes: content.length, at: now, returned: undefined }
    try {
      this.#writable = this.#channel.publish(exchange, routingKey, content, publications.properties(message), (error) =>
        this.#answered(sent, error),
      )
    } catch (error) {
      // amqplib encodes before it writes, so nothing was sent. Its range and type errors are about this message's
      // headers (64 KiB together, 255 bytes a name); anything else is about the channel.
      if (error instanceof RangeError || error instanceof TypeError) {
        return flight.settle(index, dead('AMQP_UNENCODABLE', `AMQP cannot carry its properties: ${messageOf(error)}`))
      }
      flight.next--
      return this.#lose(error)
    }
    this.#sent.add(sent)
    this.#watch ??= setTimeout(() => this.#checkOldest(), this.#options.confirmTimeoutMs)
  }

  #answered(sent: Sent, error: unknown): void {
    // The channel closed under it: #lose, which comes next, knows why.
    if (error !== null && !this.#nacking) return
    this.#sent.delete(sent)
    sent.flight.settle(sent.index, this.#answer(sent, error !== null))
    this.#pump()
  }

  #answer(sent: Sent, nacked: boolean): Outcome {
    if (nacked) return retry('AMQP_NACK', 'the broker refused the message (a full queue, or a queue that failed)')
    if (sent.returned !== undefined) return this.#options.unroutable(sent.returned)
    return { kind: 'delivered', receipt: { exchange: this.#options.exchange, routingKey: sent.routingKey } }
  }

  /** `basic.return` comes before the ack of the same message, and returns keep publish order: the first match is it. */
  #returned(message: Message): void {
    const fields = message.fields as unknown as { replyCode?: number; replyText?: string }
    for (const sent of this.#sent) {
      if (sent.returned === undefined && sent.flight.batch[sent.index]?.id === message.properties.messageId) {
        sent.returned = `${fields.replyCode ?? ''} ${fields.replyText ?? ''} (routing key ${JSON.stringify(sent.routingKey)})`
        return
      }
    }
  }

  /**
   * The broker is short of memory or disk and has stopped reading. What was sent keeps waiting for its confirm: it may be
   * read and confirmed later, so sending it elsewhere would double it.
   */
  #block(reason: string): void {
    this.#blocked = reason
    for (const flight of this.#waiting.splice(0)) flight.settleUnsent(blockedOutcome(reason))
  }

  #checkOldest(): void {
    this.#watch = undefined
    const [oldest] = this.#sent
    if (oldest === undefined || this.#lost) return
    const left = oldest.at + this.#options.confirmTimeoutMs - performance.now()
    if (left > 0) {
      this.#watch = setTimeout(() => this.#checkOldest(), left)
    } else if (this.#blocked !== undefined) {
      // The connection is alive and will say when it is unblocked: keep it, stop the calls from waiting.
      for (const sent of this.#sent) sent.flight.settle(sent.index, blockedOutcome(this.#blocked))
      this.#watch = setTimeout(() => this.#checkOldest(), this.#options.confirmTimeoutMs)
    } else {
      const text = `no confirm within ${this.#options.confirmTimeoutMs} ms for ${this.#sent.size} messages`
      this.#lose(undefined, pause('AMQP_CONFIRM_TIMEOUT', text))
    }
  }

  #lose(error?: unknown, known?: Outcome): void {
    if (this.#lost) return
    this.#lost = true
    clearTimeout(this.#watch)
    const cause = this.#cause ?? error ?? new Error('the broker closed the connection')
    const reason = known ?? lostOutcome(cause)
    const flights = new Set([...Array.from(this.#sent, (sent) => sent.flight), ...this.#waiting])
    if (known === undefined && isTooLarge(cause)) this.#settleLargest(messageOf(cause))
    else {
      for (const sent of this.#sent) sent.flight.settle(sent.index, reason)
      for (const flight of flights) flight.settleUnsent(reason)
    }
    for (const flight of flights) flight.end()
    this.#sent.clear()
    this.#waiting.length = 0
    this.#options.onLost(reason)
    void hangUp(this.#connection, 0)
  }

  /**
   * A body over the broker's limit closes the channel without saying which it was. A size limit that one body exceeds is
   * exceeded by the largest of them. The others are innocent and stay unsettled.
   */
  #settleLargest(text: string): void {
    let largest: Sent | undefined
    for (const sent of this.#sent) if (largest === undefined || sent.bytes > largest.bytes) largest = sent
    if (largest !== undefined) {
      largest.flight.settle(largest.index, dead('AMQP_TOO_LARGE', `${largest.bytes} bytes: ${text}`))
    }
  }
}

function blockedOutcome(reason: string): Outcome {
  return pause('AMQP_BLOCKED', `the broker blocks publishers: ${reason}`)
}
