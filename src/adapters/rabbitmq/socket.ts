import type { ChannelModel } from 'amqplib'
import { within } from '../../core/within.js'

/**
 * Ends a connection: politely for up to `withinMs`, then by destroying its socket. amqplib's own `close` waits for the
 * broker's answer without limit and only half-closes the socket, so on a dead network it would never end. The socket is
 * `connection.stream`, which amqplib's types leave out; destroying it with an error is what makes amqplib clean up.
 */
export async function hangUp(model: ChannelModel, withinMs: number): Promise<void> {
  if (withinMs > 0) {
    const polite = model.close().catch(() => undefined) // closed already: that is what is wanted
    await within(withinMs, polite)
  }
  const { stream } = model.connection as unknown as { stream?: { destroy(error: Error): void; destroyed: boolean } }
  if (stream !== undefined && !stream.destroyed) stream.destroy(new Error('connection thrown away'))
}
