import type { Dispatcher } from 'undici'
import type { Outcome, OutboundMessage } from '../contract.js'
import { AnswerBody, isReadable } from './answer-body.js'
import { type Authorization, AuthorizationError } from './authorization.js'
import type { Connection } from './connection/connections.js'
import {
  isConnectionLost,
  isProtocolError,
  type Meanings,
  outcomeOfError,
  outcomeOfStatus,
  outcomeOfTimeout,
  unreadable,
} from './outcome.js'
import type { GroupMember } from './group.js'
import type { HeaderBuilder } from './request-headers.js'
import { retryAfterMs } from './retry-after.js'

/** What every exchange of a destination shares. */
export interface Endpoint {
  /** Scheme, host and port. */
  readonly origin: string
  /** Path and query. */
  readonly path: string
  readonly buildHeaders: HeaderBuilder
  readonly authorization: Authorization
  readonly timeoutMs: number
  readonly maxRetryAfterMs: number
  readonly meanings: Meanings
  readonly answerExcerpt: number
  /** Texts that must not show in an error. */
  readonly secrets: readonly string[]
}

/** Whoever wants to know how an exchange went. */
export interface ExchangeOwner {
  /** The outcome, once. An aborted exchange has none. */
  settled(exchange: Exchange, outcome: Outcome): void
  /** Nothing of the exchange is under way any more; once, after `settled` if there was an outcome. */
  ended(exchange: Exchange): void
}

const aborted = new Error('aborted')

/**
 * One message's POST: at most two requests (a second one after a lost connection or a rejected token), one time limit.
 *
 * It is an undici dispatch handler because that costs neither a stream nor a promise for each message. The status line
 * is the answer: 2xx settles as soon as the headers are there, and what follows is read only so that the connection can
 * be used again. Any other status waits for the body, for its excerpt.
 */
export class Exchange implements Dispatcher.DispatchHandler, GroupMember {
  readonly message: OutboundMessage
  readonly index: number
  readonly owner: ExchangeOwner
  place = -1
  /** The one of the adapter's places that it has taken. */
  connection: Connection | undefined
  /** Its answer is over, so that the connection may be used again. */
  clean = false
  #reusable = true
  /** Its request went out on a connection that had served others. */
  #onUsed = false
  /** Of both requests together; it runs from the first. */
  deadline = Infinity
  readonly #endpoint: Endpoint
  #payload: Buffer | undefined
  #controller: Dispatcher.DispatchController | undefined
  #startedAt = 0
  #authorization: string | undefined
  #resent = false
  #reauthorized = false
  #status = 0
  #retryAfterMs: number | undefined
  #body: AnswerBody | undefined
  #settled = false
  #over = false

  constructor(endpoint: Endpoint, message: OutboundMessage, index: number, owner: ExchangeOwner) {
    this.#endpoint = endpoint
    this.message = message
    this.index = index
    this.owner = owner
  }

  get over(): boolean {
    return this.#over
  }

  get started(): boolean {
    return this.connection !== undefined
  }

  /** `reusable`: the connection may serve others afterwards. */
  start(connection: Connection, reusable: boolean): void {
    this.connection = connection
    this.#reusable = reusable
    this.#authorize()
  }

  #authorize(): void {
    const header = this.#endpoint.authorization.header()
    if (typeof header !== 'object') return this.#send(header)
    header.then(
      (value) => this.#send(value),
      (error: unknown) =>
        this.#fail(error instanceof AuthorizationError ? error.outcome : outcomeOfError(this.#endpoint.origin, error)),
    )
  }

  /** Gives up without an outcome: the message was not delivered as far as anyone knows. */
  abort(): void {
    if (this.#over) return
    this.#end()
    this.#controller?.abort(aborted)
  }

  #send(authorization: string | undefined): void {
    const { connection } = this
    if (this.#over || !connection) return
    const { path, buildHeaders, timeoutMs } = this.#endpoint
    this.#authorization = authorization
    this.#payload ??= Buffer.from(this.message.payload)
    this.#startedAt = performance.now()
    if (this.deadline === Infinity) this.deadline = this.#startedAt + timeoutMs
    const headers = buildHeaders(this.message, this.#payload, Math.floor(Date.now() / 1000), authorization)
    this.#onUsed = connection.open && connection.answers > 0
    connection.watch.begin()
    connection.client.dispatch({ path, method: 'POST', headers, body: this.#payload, reset: !this.#reusable }, this)
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#over) controller.abort(aborted)
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ): void {
    if (this.#over || status < 200) return
    const { answerExcerpt, maxRetryAfterMs } = this.#endpoint
    if (this.#answered(status)) return
    this.#retryAfterMs = retryAfterMs(headers['retry-after'], Date.now(), maxRetryAfterMs)
    this.#body = new AnswerBody(answerExcerpt > 0 && isReadable(headers['content-type'], headers['content-encoding']))
  }

  /** True when the message is delivered with that. */
  #answered(status: number): boolean {
    this.#status = status
    if (status < 200 || status > 299) return false
    const durationMs = Math.round((performance.now() - this.#startedAt) * 10) / 10
    this.#settle({ kind: 'delivered', receipt: { status, durationMs } })
    return true
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#body ??= new AnswerBody(false)
    if (!this.#body.add(chunk)) controller.abort(aborted)
  }

  onResponseEnd(): void {
    // 421: this connection leads to a server that does not know the host; another may not
    this.clean = this.#status !== 421
    if (!this.#over) this.#conclude(true)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    if (this.#over) return
    if (this.#status > 0 || this.#tookStatus()) return this.#conclude(true)
    // What was left of an answer before comes out as an answer that is no HTTP: that is a connection lost, too.
    const lost = isConnectionLost(error) || (this.#onUsed && isProtocolError(error))
    // A keep-alive connection that the server closed just as it was used again looks like this. The endpoint may have
    // taken the request nevertheless: it is the same attempt with the same webhook-id, which receivers de-duplicate on.
    if (!this.#resent && lost) {
      this.#resent = true
      return this.#afterwards(() => this.#send(this.#authorization))
    }
    const { origin } = this.#endpoint
    this.#fail(this.connection?.watch.unreadable === true ? unreadable(origin) : outcomeOfError(origin, error))
  }

  /**
   * The client refused the answer, or it broke off, after its status line: that was the answer. A receiver that said 2xx has
   * the message, and would get it again and again.
   */
  #tookStatus(): boolean {
    const status = this.connection?.watch.status
    if (status === undefined) return false
    this.#answered(status)
    return true
  }

  timedOut(): void {
    if (this.#over) return
    const { origin, timeoutMs } = this.#endpoint
    if (this.#status > 0 || this.#tookStatus()) this.#conclude(false)
    else this.#fail(outcomeOfTimeout(origin, timeoutMs, this.#controller !== undefined))
    this.#controller?.abort(aborted)
  }

  /** The answer is here, or as much of it as will come. */
  #conclude(inTime: boolean): void {
    if (this.#settled) return this.#end()
    const { authorization } = this.#endpoint
    if (this.#status === 401 && inTime && !this.#reauthorized && authorization.rejected(this.#authorization)) {
      this.#reauthorized = true
      this.#status = 0
      this.#body = undefined
      this.clean = false
      if (this.connection) this.connection.answers += 1
      return this.#afterwards(() => this.#authorize())
    }
    this.#fail(this.#refusal())
  }

  /** Not within a call of the client's, which takes its queue for empty when that returns and ends the process if it is not. */
  #afterwards(work: () => void): void {
    queueMicrotask(work)
  }

  #refusal(): Outcome {
    const { origin, meanings, answerExcerpt, secrets, authorization } = this.#endpoint
    const excerpt = this.#body?.excerpt(answerExcerpt, [...secrets, ...authorization.secrets()]) ?? ''
    return outcomeOfStatus(origin, { status: this.#status, retryAfterMs: this.#retryAfterMs, excerpt }, meanings)
  }

  #fail(outcome: Outcome): void {
    if (this.#over) return
    this.#settle(outcome)
    this.#end()
  }

  #settle(outcome: Outcome): void {
    this.#settled = true
    this.owner.settled(this, outcome)
  }

  #end(): void {
    this.#over = true
    this.#payload = undefined
    this.owner.ended(this)
  }
}
