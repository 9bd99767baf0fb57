import { codeOf, messageOf } from '../../core/errors.js'
import { configurationCheck } from './configuration.js'
import { durabilityCheck } from './durability.js'
import type { Check, Examination, Finding } from './finding.js'
import { inboxCheck } from './inbox.js'
import { jobsCheck } from './jobs.js'
import { dispatchersCheck, lanesCheck, maintenanceCheck } from './lanes.js'
import { notificationsCheck } from './notifications.js'
import { diskCheck, partitionsCheck } from './partitions.js'
import { publicationsCheck } from './publications.js'
import { driftCheck, migrationsCheck, sequenceCheck } from './schema.js'
import { scheduledCheck } from './scheduled.js'
import { clockCheck, settingsCheck, transactionsCheck } from './server.js'

export { type Examination, type Finding, type Level } from './finding.js'

const checks: readonly Check[] = [
  migrationsCheck,
  settingsCheck,
  configurationCheck,
  durabilityCheck,
  driftCheck,
  sequenceCheck,
  dispatchersCheck,
  lanesCheck,
  partitionsCheck,
  maintenanceCheck,
  publicationsCheck,
  inboxCheck,
  jobsCheck,
  scheduledCheck,
  diskCheck,
  transactionsCheck,
  clockCheck,
  notificationsCheck,
]

/** What has a meaning in a database that has the inbox and nothing else. */
const inboxChecks: readonly Check[] = [migrationsCheck, settingsCheck, inboxCheck, transactionsCheck, clockCheck]

/**
 * Looks at everything that is known to go wrong, one thing after another, and changes nothing. What it can't look at is
 * a finding too, so that silence never passes for health.
 */
export async function runDoctor(examination: Examination): Promise<Finding[]> {
  const findings: Finding[] = []
  let schema = false
  for (const check of examination.only === 'inbox' ? inboxChecks : checks) {
    if (check.needsSchema && !schema) continue
    const found = await look(check, examination)
    findings.push(...found.map((finding) => ({ check: check.name, ...finding })))
    if (check === migrationsCheck) schema = found.every(({ level }) => level !== 'error')
  }
  return findings
}

async function look(check: Check, examination: Examination): Promise<Omit<Finding, 'check'>[]> {
  try {
    return await check.run(examination)
  } catch (thrown) {
    // insufficient_privilege: a user who may not look is no fault of what it would have looked at
    const forbidden = codeOf(thrown) === '42501'
    return [
      {
        level: forbidden ? 'warn' : 'error',
        what: `could not look: ${messageOf(thrown)}`,
        why: 'it is not known whether all is well here',
        remedy: forbidden
          ? 'run doctor as a user with waybill_dispatcher or as the owner of the tables, and with pg_monitor'
          : 'see to this error first',
      },
    ]
  }
}
