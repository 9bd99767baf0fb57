import type { Socket } from 'node:net'

export type Direction = 'toServer' | 'toClient'

export interface ProxyMode {
  readonly swallow: ReadonlySet<Direction>
  readonly drop: ReadonlySet<Direction>
  readonly delayMs: number
  /** A connection on which a client sends this is reset in place of it. */
  readonly cutWhere: { readonly bytes: Buffer; readonly onCut: () => void } | undefined
}

/** What one side did and the other side is to see, in order, and not before `dueAt`. */
type Step = { readonly dueAt: number } & (
  { readonly kind: 'data'; readonly chunk: Buffer } | { readonly kind: 'end' | 'reset' }
)

/** A pair of sockets and what is held back between them. */
export class ProxiedConnection {
  readonly #sockets: Readonly<Record<Direction, { readonly from: Socket; readonly to: Socket }>>
  readonly #held: Record<Direction, Step[]> = { toServer: [], toClient: [] }
  readonly #mode: ProxyMode
  readonly #onClose: () => void
  #forgotten = false
  /** The end of what the client sent: what is looked for may come in two chunks. */
  #sent: Buffer = Buffer.alloc(0)

  constructor(client: Socket, upstream: Socket, mode: ProxyMode, onClose: () => void) {
    this.#sockets = { toServer: { from: client, to: upstream }, toClient: { from: upstream, to: client } }
    this.#mode = mode
    this.#onClose = onClose
    client.setNoDelay(true)
    upstream.setNoDelay(true)
    this.#follow('toServer')
    this.#follow('toClient')
  }

  #follow(direction: Direction): void {
    const { from, to } = this.#sockets[direction]
    from.on('data', (chunk: Buffer) => {
      if (direction === 'toServer' && this.#isToCut(chunk)) {
        this.#mode.cutWhere?.onCut()
        return this.reset()
      }
      if (!this.#mode.drop.has(direction)) this.#pass(direction, { kind: 'data', chunk, dueAt: this.#dueAt() })
    })
    from.on('end', () => this.#pass(direction, { kind: 'end', dueAt: this.#dueAt() }))
    from.on('error', () => this.#pass(direction, { kind: 'reset', dueAt: this.#dueAt() }))
    from.on('close', () => {
      if (to.destroyed) this.#onClose()
    })
  }

  #isToCut(chunk: Buffer): boolean {
    const { cutWhere } = this.#mode
    if (!cutWhere) return false
    const { bytes } = cutWhere
    const seen = Buffer.concat([this.#sent, chunk])
    this.#sent = Buffer.from(seen.subarray(Math.max(0, seen.length - bytes.length + 1)))
    return seen.includes(bytes)
  }

  #dueAt(): number {
    return performance.now() + this.#mode.delayMs
  }

  #pass(direction: Direction, step: Step): void {
    this.#held[direction].push(step)
    if (this.#mode.delayMs === 0) this.#release(direction)
    else setTimeout(() => this.#release(direction), this.#mode.delayMs + 1).unref()
  }

  #release(direction: Direction): void {
    if (this.#forgotten || this.#mode.swallow.has(direction)) return
    const held = this.#held[direction]
    while (held[0] !== undefined && held[0].dueAt <= performance.now()) {
      const [step] = held.splice(0, 1)
      if (step !== undefined) this.#perform(direction, step)
    }
  }

  #perform(direction: Direction, step: Step): void {
    const { to } = this.#sockets[direction]
    if (step.kind === 'data') to.write(step.chunk)
    else if (step.kind === 'end') to.end()
    else to.resetAndDestroy()
  }

  forget(): void {
    this.#forgotten = true
    // nor is anything taken off the senders' hands
    for (const { from } of Object.values(this.#sockets)) from.pause()
  }

  remember(): void {
    this.#forgotten = false
    for (const { from } of Object.values(this.#sockets)) from.resume()
    this.flush()
  }

  /** Everything that is held back, due or not. */
  flush(): void {
    if (this.#forgotten) return
    for (const direction of ['toServer', 'toClient'] as const) {
      for (const step of this.#held[direction].splice(0)) this.#perform(direction, step)
    }
  }

  reset(): void {
    const { from, to } = this.#sockets.toServer
    from.resetAndDestroy()
    to.resetAndDestroy()
    this.#onClose()
  }
}
