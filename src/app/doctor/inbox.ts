import { loadSql } from '../../db/sql.js'
import { type Check, type Finding, formatAge, formatBytes, ok, warn } from './finding.js'

interface Generations {
  readonly retentionSeconds: number
  readonly newest: number
  /** Seconds since the newest one was opened. */
  readonly openedAgo: number
  readonly changing: boolean
  /** Something was claimed in it. */
  readonly used: boolean
  /** Those that are past the retention by a day or more. */
  readonly expired: number
  readonly expiredBytes: number
}

const generationsSql = loadSql(import.meta.url, '../../outbox/inspect/inbox_generations.sql')

const maintain = 'run every hour or so: waybill maintain --only inbox, or select waybill.inbox_maintain()'

/** Whether the inbox's old claims go. */
export const inboxCheck: Check = {
  name: 'inbox',
  needsSchema: true,
  async run({ pool }) {
    const { rows } = await pool.query<Generations>(generationsSql)
    return rows.flatMap(judgeInbox)
  },
}

function judgeInbox(found: Generations): Omit<Finding, 'check'>[] {
  const findings: Omit<Finding, 'check'>[] = []
  const age = formatAge(found.openedAgo)
  if (found.expired > 0) {
    findings.push(
      warn(
        `${found.expired} generations are past the retention, with ${formatBytes(found.expiredBytes)}`,
        'the inbox grows, and each claim looks into all of them',
        maintain,
      ),
    )
  }
  if (found.changing && found.openedAgo > 86_400) {
    findings.push(
      warn(
        `generation ${found.newest} was opened ${age} ago, and claims are still written to the one before it too`,
        'old claims are not forgotten meanwhile: a transaction has been open that long, or nobody does the upkeep',
        `see "transactions"; ${maintain}`,
      ),
    )
  }
  if (!found.changing && found.used && found.openedAgo > found.retentionSeconds / 3) {
    findings.push(
      warn(
        `no generation was opened for ${age}; a new one is due after ${formatAge(found.retentionSeconds / 6)}`,
        'nobody does the upkeep: old claims are never forgotten',
        maintain,
      ),
    )
  }
  const kept = `claims are kept for ${formatAge(found.retentionSeconds)}`
  return findings.length > 0 ? findings : [ok(`generation ${found.newest}, opened ${age} ago; ${kept}`)]
}
