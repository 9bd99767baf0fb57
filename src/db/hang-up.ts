import type pg from 'pg'
import { within } from '../core/within.js'

/** Says goodbye to the server; one that has not answered within `withinMs` (default 1,000) is hung up on. Never rejects. */
export async function hangUp(client: pg.Client, withinMs = 1000): Promise<void> {
  const goodbye = client.end().catch(() => undefined)
  await within(withinMs, goodbye)
  client.connection.stream.destroy()
}
