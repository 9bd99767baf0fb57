import type pg from 'pg'
import { loadSql } from '../../db/sql.js'

/** Scheduled messages whose time has come and which are not in the log. */
export interface ScheduledOverdue {
  /** 1,001: more than a thousand. */
  readonly messages: number
  /** Since the first of them was due. */
  readonly seconds: number
}

const overdueSql = loadSql(import.meta.url, './scheduled_overdue.sql')
/** A dispatcher that polls sees what is due within a minute, also where nobody notified it. */
const patienceMs = 90_000
const counted = 1000

/** Null: none has waited for longer than a dispatcher may need. */
export async function scheduledOverdue(pool: pg.Pool): Promise<ScheduledOverdue | null> {
  const { rows } = await pool.query<ScheduledOverdue>(overdueSql, [patienceMs])
  return rows[0] && rows[0].messages > 0 ? rows[0] : null
}

export function describeOverdue({ messages, seconds }: ScheduledOverdue): string {
  const count = messages > counted ? `more than ${counted.toLocaleString('en-US')}` : messages.toLocaleString('en-US')
  return `${count} scheduled messages are due and not in the log, the first for ${Math.round(seconds).toLocaleString('en-US')} s`
}
