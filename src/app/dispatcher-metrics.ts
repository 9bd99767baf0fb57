import { version } from '../core/version.js'
import { MetricsPage } from '../telemetry/metrics.js'
import type { DispatcherService } from './create-dispatcher.js'
import type { DispatchCounters } from './dispatch-counters.js'
import type { Figures } from './health-figures.js'

type Process = Pick<DispatcherService, 'healthy' | 'asleep' | 'lanes' | 'stagingFailures'>

/** The metrics of one scrape: the database's figures where there are any, and this process's own. */
export function renderMetrics(service: Process, counters: DispatchCounters, figures: Figures | undefined): string {
  const page = new MetricsPage()
  page.add('waybill_dispatcher_info', 1, { version })
  page.add('waybill_dispatcher_database_up', figures !== undefined)
  addProcess(page, service, counters)
  if (figures) addDatabase(page, figures)
  return page.text()
}

function addProcess(page: MetricsPage, service: Process, counters: DispatchCounters): void {
  const held = service.lanes()
  page.add('waybill_dispatcher_healthy', service.healthy)
  page.add('waybill_dispatcher_asleep', service.asleep)
  page.add('waybill_dispatcher_staging_failures_total', service.stagingFailures)
  page.add('waybill_dispatcher_lanes', held.length)
  for (const { name, status } of held) {
    const { destination, shard } = name
    if (status) page.add('waybill_dispatcher_window_messages', status.window, { destination, shard })
  }
  for (const [destination, n] of counters.delivered) page.add('waybill_dispatcher_delivered_total', n, { destination })
  for (const [destination, n] of counters.retries) page.add('waybill_dispatcher_retries_total', n, { destination })
  for (const [destination, n] of counters.dead) page.add('waybill_dispatcher_dead_total', n, { destination })
  for (const [destination, n] of counters.restarts)
    page.add('waybill_dispatcher_lane_restarts_total', n, { destination })
  for (const [name, n] of counters.pauses) {
    const [destination = '', kind = ''] = name.split(' ')
    page.add('waybill_dispatcher_pauses_total', n, { destination, kind })
  }
}

function addDatabase(page: MetricsPage, { lanes, facts }: Figures): void {
  page.add('waybill_published_total', facts.published)
  page.add('waybill_dispatchers', facts.alive)
  page.add('waybill_scheduled_overdue_seconds', facts.scheduledAge ?? 0)
  if (facts.beatAge !== null) page.add('waybill_dispatcher_lease_age_seconds', facts.beatAge)
  const oldest = new Map<string, number>()
  for (const lane of lanes) {
    const name = { destination: lane.destination, shard: lane.shard }
    const { retrying, held, dead, inFlight } = lane
    page.add('waybill_lag_messages', lane.lagMessages, name)
    page.add('waybill_lag_seconds', lane.lagSeconds, name)
    page.add('waybill_held_keys', lane.heldKeys, name)
    page.add('waybill_lane_paused', lane.pauseKind !== null, name)
    page.add('waybill_lane_unheld', lane.condition === 'unheld', name)
    page.add('waybill_delivered_total', lane.delivered, name)
    for (const [state, n] of Object.entries({ retrying, held, dead, in_flight: inFlight }))
      page.add('waybill_parked', n, { ...name, state })
    const parkedAge = lane.oldestParkedAt === null ? 0 : (Date.now() - lane.oldestParkedAt.getTime()) / 1000
    oldest.set(lane.destination, Math.max(oldest.get(lane.destination) ?? 0, lane.lagSeconds, parkedAge))
  }
  for (const [destination, seconds] of oldest) page.add('waybill_oldest_undelivered_seconds', seconds, { destination })
}
