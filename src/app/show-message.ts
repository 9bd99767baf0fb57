import type pg from 'pg'
import { type MessageReport, readPayload, reportMessage } from '../outbox/inspect/message-report.js'

export type ShownMessage = MessageReport & {
  /** As published, where it was asked for and is still there. */
  readonly payload?: string
  readonly headers?: string | null
}

/** A message and what became of it everywhere, as of one moment. Undefined when nothing knows of it. */
export async function showMessage(
  pool: pg.Pool,
  id: string,
  { withPayload }: { readonly withPayload: boolean },
): Promise<ShownMessage | undefined> {
  const client = await pool.connect()
  let broken = true
  try {
    // a lane that commits between two of the statements would make a message look delivered and parked at once
    await client.query('begin isolation level repeatable read read only')
    const report = await reportMessage(client, id)
    const content = report && withPayload ? await readPayload(client, id) : undefined
    await client.query('commit')
    broken = false
    return report && { ...report, ...content }
  } finally {
    client.release(broken)
  }
}
