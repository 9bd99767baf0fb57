import { attemptsTable, listPartitions, listRanges, receiptsTable } from '../../outbox/partitions/range-table.js'
import { measureTip } from '../../outbox/partitions/width.js'
import { heldBack } from '../../outbox/retention/held-back.js'
import { type Check, error, type Finding, formatAge, formatBytes, ok, warn } from './finding.js'

const maintain =
  'let a dispatcher run with dispatcher.maintenance, as the owner of the tables, or run: waybill maintain'
/** Beyond it a tail is slow to turn into ranges. */
const largeTail = 2_000_000_000

/** Whether there is room in the log ahead of its tip, and whether anything is in the tail that is there for safety. */
export const partitionsCheck: Check = {
  name: 'partitions',
  needsSchema: true,
  async run({ pool }) {
    const client = await pool.connect()
    try {
      const tip = await measureTip(client)
      const ranges = await listPartitions(client)
      const findings: Omit<Finding, 'check'>[] = []
      const tail = ranges.at(-1)
      const ahead = ranges.filter((range) => range !== tail && range.lower !== null && range.lower > tip.seq)
      for (const range of ranges.filter((other) => other.detachPending)) {
        findings.push(
          warn(
            `${range.name} is half detached`,
            'ranges can be neither made nor dropped until it is finished',
            maintain,
          ),
        )
      }
      if (!tail || tail.upper !== null) {
        findings.push(error('the log has no tail', 'a publish beyond the last range fails', maintain))
      } else if (!tail.empty) {
        findings.push(
          warn(
            `the tail ${tail.name} has rows (${formatBytes(tail.bytes)})`,
            'maintenance has not kept up: nothing is lost, but what is in the tail goes as a whole or not at all',
            maintain,
          ),
        )
      } else if (ahead.length === 0) {
        findings.push(warn('no empty range is ahead of the tip', 'the tail is filled next', maintain))
      }
      for (const spec of [attemptsTable, receiptsTable]) {
        const last = (await listRanges(client, spec)).at(-1)
        if (last && last.bytes > largeTail)
          findings.push(
            warn(
              `the tail of waybill.${spec.table} holds ${formatBytes(last.bytes)}`,
              'old days can not be dropped',
              maintain,
            ),
          )
      }
      const room = `${ahead.length} empty ranges ahead of the tip, the tail is empty`
      return findings.length === 0 ? [ok(room)] : findings
    } finally {
      client.release()
    }
  },
}

/** Who keeps old messages from being dropped, how much that is, and how long the disk will do. */
export const diskCheck: Check = {
  name: 'disk',
  needsSchema: true,
  async run({ pool, config, diskBytes }) {
    const client = await pool.connect()
    try {
      const options = { retentionMs: config.retention, ...(diskBytes !== undefined && { diskBytes }) }
      const report = await heldBack(client, options)
      const findings = report.lanes.map((lane) =>
        warn(
          `${lane.destination} keeps ${formatBytes(lane.bytes)} in ${lane.partitions.length} ranges that are past retention${lane.oldest ? `, since ${lane.oldest.toISOString()}` : ''}`,
          lane.byParked ? 'a parked delivery needs them' : 'its cursor is before them',
          lane.byParked
            ? `retry or drop what is parked: waybill undelivered --destination ${lane.destination}`
            : `mend the destination, remove it (waybill destinations remove ${lane.destination}), or set maxHold`,
        ),
      )
      return [...findings, growth(report.bytesPerDay, report.daysUntilFull, diskBytes)]
    } finally {
      client.release()
    }
  },
}

function growth(perDay: number, days: number | null, diskBytes: number | undefined): Omit<Finding, 'check'> {
  const pace = `the log grows by about ${formatBytes(perDay)} a day while nothing is dropped`
  if (diskBytes === undefined) return ok(`${pace}; give --disk-bytes to know how long the disk will do`)
  if (days === null) return ok(`${pace}; the disk of ${formatBytes(diskBytes)} will do`)
  const what = `${pace}; a disk of ${formatBytes(diskBytes)} is full in about ${formatAge(days * 86_400)}`
  const why = 'when it is full the database stops, and publishing with it'
  const remedy = 'give it more disk, lower retention, or see to the lanes that keep messages'
  if (days < 2) return error(what, why, remedy)
  return days < 14 ? warn(what, why, remedy) : ok(what)
}
