import type pg from 'pg'

/** Says goodbye to the server; one that has not answered within `withinMs` (default 1,000) is hung up on. Never rejects. */
export async function hangUp(client: pg.Client, withinMs = 1000): Promise<void> {
  await within(
    withinMs,
    client.end().catch(() => undefined),
  )
  client.connection.stream.destroy()
}

/** Resolves when `work` has settled, or after `ms`. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([work, timeout]).finally(() => clearTimeout(timer))
}
