import type { Socket } from 'node:net'
import type { ChannelModel } from 'amqplib'
import { within } from '../../core/within.js'

/**
 * Ends a connection: politely for up to `withinMs`, then by destroying its socket. amqplib's own `close` waits for the
 * broker's answer without limit and only half-closes the socket, so on a dead network it would never end. Destroying it with
 * an error is what makes amqplib clean up.
 */
export async function hangUp(model: ChannelModel, withinMs: number): Promise<void> {
  if (withinMs > 0) {
    const polite = model.close().catch(() => undefined) // closed already: that is what is wanted
    await within(withinMs, polite)
  }
  const stream = streamOf(model)
  if (stream !== undefined && !stream.destroyed) stream.destroy(new Error('connection thrown away'))
}

/**
 * Sends what is written in one go in one packet: amqplib writes each message to its socket by itself, which is a system call
 * and a packet for 400 bytes, at both ends. See `writable.cork` of Node.js.
 */
export function gatherWrites(model: ChannelModel): void {
  const stream = streamOf(model)
  if (stream === undefined) return
  const write = stream.write.bind(stream)
  const uncork = (): void => stream.uncork()
  stream.write = (chunk: Uint8Array): boolean => {
    if (stream.writableCorked === 0) {
      stream.cork()
      process.nextTick(uncork)
    }
    return write(chunk)
  }
}

/** amqplib's types leave it out. */
function streamOf(model: ChannelModel): Stream | undefined {
  return (model.connection as unknown as { stream?: Stream }).stream
}

type Stream = Pick<Socket, 'destroy' | 'destroyed' | 'cork' | 'uncork' | 'writableCorked'> & {
  write(chunk: Uint8Array): boolean
}
