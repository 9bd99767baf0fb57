import pg from 'pg'

/** A connection of its own for `work`; closed after it. A server that falls silent is waited for 10 s at most. */
export async function withClient<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  // one that breaks while it idles must not take the process down; the next statement says so
  client.on('error', () => undefined)
  try {
    await client.connect()
    return await work(client)
  } finally {
    await client.end().catch(() => undefined)
  }
}
