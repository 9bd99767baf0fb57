import { loadSql } from '../../db/sql.js'
import { type LaneReport, listLanes } from '../../outbox/inspect/lane-list.js'
import { type Check, error, type Finding, formatAge, ok, warn } from './finding.js'

/** Lanes that don't go on, and what is parked. */
export const lanesCheck: Check = {
  name: 'lanes',
  needsSchema: true,
  async run({ pool }) {
    const lanes = await listLanes(pool)
    if (lanes.length === 0)
      return [warn('nothing is deployed', 'nobody is delivered to', 'run: waybill dispatch, with a configuration')]
    const findings = lanes.flatMap((lane) => [...standing(lane), ...parked(lane)])
    return findings.length === 0 ? [ok(`${lanes.length} lanes go on, nothing is dead`)] : findings
  },
}

function standing(lane: LaneReport): Omit<Finding, 'check'>[] {
  const name = `${lane.destination}/${lane.shard}`
  const lag = `${lane.lagMessages.toLocaleString('en-US')} messages and ${formatAge(lane.lagSeconds)} behind`
  switch (lane.condition) {
    case 'active':
      return []
    case 'closing':
      return [ok(`${name} is closing: ${lag}`)]
    case 'unheld': {
      const what = `${name}: ${lane.why ?? 'no dispatcher holds it'}; ${lag}`
      const remedy = 'run: waybill dispatch, with the configuration that names it'
      const why = 'nothing is delivered from it'
      return [lane.lagMessages > 0 ? error(what, why, remedy) : warn(what, why, remedy)]
    }
    case 'paused':
      return [
        warn(
          `${name} is paused (${lane.why ?? ''}), ${lag}`,
          'nothing is delivered from it; the log keeps its messages',
          pauseRemedy(lane),
        ),
      ]
    case 'orphaned':
      return [
        warn(
          `${name} is no longer configured, ${lag}`,
          'it keeps old messages from being dropped',
          `configure it again, or run: waybill destinations remove ${lane.destination}`,
        ),
      ]
  }
}

function pauseRemedy({ pauseKind, destination }: LaneReport): string {
  if (pauseKind === 'parked_limit') {
    return `retry or drop what is parked: waybill undelivered --destination ${destination} --groups`
  }
  if (pauseKind === 'hidden') return 'run one of the statements that it names; the lane goes on by itself'
  if (pauseKind === 'standby') return 'see to the stand-by; the lane goes on by itself when it has what is to be sent'
  return 'mend the destination; the lane probes it and goes on by itself'
}

function parked({ destination, shard, dead, held, heldKeys }: LaneReport): Omit<Finding, 'check'>[] {
  if (dead === 0) return []
  const behind = held === 0 ? '' : `, and ${held} more wait behind dead or retrying ones of ${heldKeys} keys`
  return [
    warn(
      `${destination}/${shard} has ${dead} dead deliveries${behind}`,
      'they are not tried again by themselves',
      `waybill undelivered --destination ${destination} --groups, then waybill retry or waybill drop`,
    ),
  ]
}

const dispatchersSql = loadSql(import.meta.url, '../../outbox/inspect/dispatcher_list.sql')

/** Whether somebody dispatches, and with one configuration and version. */
export const dispatchersCheck: Check = {
  name: 'dispatchers',
  needsSchema: true,
  async run({ pool }) {
    const { rows } = await pool.query<{
      name: string
      version: string
      generation: number
      deployed: number | null
    }>(dispatchersSql)
    if (rows.length === 0) return [warn('no dispatcher is alive', 'nothing is delivered', 'run: waybill dispatch')]
    const generations = new Set(rows.map((row) => row.generation))
    const list = rows
      .map(({ name, version, generation }) => `${name} (${version}, generation ${generation})`)
      .join(', ')
    const deployed = rows[0]?.deployed ?? 0
    if (deployed > 0 && !generations.has(deployed)) {
      return [
        error(
          `no dispatcher of the deployed configuration (generation ${deployed}) is alive: ${list}`,
          'nothing is delivered: others would pass over what only the deployed routes want',
          'start a dispatcher with it. One with an older configuration takes its place after two leases, unless it was given a generation: then raise that',
        ),
      ]
    }
    if (generations.size === 1) return [ok(`alive: ${list}`)]
    return [
      warn(
        `dispatchers run with different configurations: ${list}`,
        'only those with the deployed configuration, the newest, take lanes',
        'deploy one configuration to all of them',
      ),
    ]
  },
}

const maintenanceSql = loadSql(import.meta.url, '../../outbox/inspect/maintenance_state.sql')

export const maintenanceCheck: Check = {
  name: 'maintenance',
  needsSchema: true,
  async run({ pool }) {
    const { rows } = await pool.query<{ passes: number; used: boolean }>(maintenanceSql)
    const { passes = 0, used = false } = rows[0] ?? {}
    if (passes > 0 || !used) return [ok(`${passes} passes so far`)]
    return [
      warn(
        'maintenance has never run',
        'no partition is made and nothing is dropped',
        'let a dispatcher run with dispatcher.maintenance, as the owner of the tables, or run: waybill maintain',
      ),
    ]
  },
}
