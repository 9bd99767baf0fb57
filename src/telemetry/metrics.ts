/**
 * The Prometheus text format, version 0.0.4, and the names of what is exposed. Written by hand because it is this small;
 * a test has promtool read it.
 */
export const metricsContentType = 'text/plain; version=0.0.4; charset=utf-8'

export interface MetricDefinition {
  readonly type: 'gauge' | 'counter'
  readonly help: string
  readonly labels: readonly string[]
}

const lane = ['destination', 'shard'] as const

/**
 * Every metric. `waybill_dispatcher_…` are this process's own: sum them. The others are the database's, the same from
 * whichever dispatcher they are scraped: take the max.
 */
export const metricDefinitions = {
  waybill_lag_messages: {
    type: 'gauge',
    help: 'Sequence numbers between the cursor of a lane and the tip of the log: an upper bound of what is undelivered.',
    labels: lane,
  },
  waybill_lag_seconds: {
    type: 'gauge',
    help: 'Age of the first message behind the cursor of a lane, of any topic; 0 at the tip.',
    labels: lane,
  },
  waybill_oldest_undelivered_seconds: {
    type: 'gauge',
    help: 'Age of the oldest message that a destination lacks: behind a cursor, or parked for so long.',
    labels: ['destination'],
  },
  waybill_parked: {
    type: 'gauge',
    help: 'Deliveries that left the fast path, by state: retrying, held (behind one of their key), dead, in_flight.',
    labels: [...lane, 'state'],
  },
  waybill_held_keys: { type: 'gauge', help: 'Keys whose later messages wait behind a parked one.', labels: lane },
  waybill_lane_paused: {
    type: 'gauge',
    help: '1 while a lane is paused: its destination is down, throttles or is misconfigured, or too much is parked.',
    labels: lane,
  },
  waybill_lane_unheld: { type: 'gauge', help: '1 while no dispatcher that is alive holds a lane.', labels: lane },
  waybill_delivered_total: { type: 'counter', help: 'Messages delivered by a lane since it began.', labels: lane },
  waybill_published_total: {
    type: 'counter',
    help: 'Sequence numbers drawn by publishers; those of transactions that rolled back count too.',
    labels: [],
  },
  waybill_dispatchers: { type: 'gauge', help: 'Dispatchers that are alive.', labels: [] },
  waybill_dispatcher_info: { type: 'gauge', help: '1, with the version of this dispatcher.', labels: ['version'] },
  waybill_dispatcher_database_up: {
    type: 'gauge',
    help: '1 when the figures of the database could be read; those metrics are left out while it is 0.',
    labels: [],
  },
  waybill_dispatcher_healthy: { type: 'gauge', help: '1 while the lease is renewed in time.', labels: [] },
  waybill_dispatcher_lease_age_seconds: {
    type: 'gauge',
    help: 'Time since the heartbeat of this dispatcher was last written.',
    labels: [],
  },
  waybill_scheduled_overdue_seconds: {
    type: 'gauge',
    help: 'Time since the first scheduled message was due that is not in the log; 0: none is. More than a minute: no dispatcher moves them.',
    labels: [],
  },
  waybill_dispatcher_staging_failures_total: {
    type: 'counter',
    help: 'How often this dispatcher could not move scheduled messages into the log; its log says why.',
    labels: [],
  },
  waybill_dispatcher_asleep: {
    type: 'gauge',
    help: '1 while this dispatcher sleeps until a publisher notifies it.',
    labels: [],
  },
  waybill_dispatcher_lanes: { type: 'gauge', help: 'Lanes that this dispatcher holds.', labels: [] },
  waybill_dispatcher_window_messages: {
    type: 'gauge',
    help: 'Messages that this dispatcher has read and not settled.',
    labels: lane,
  },
  waybill_dispatcher_delivered_total: {
    type: 'counter',
    help: 'Messages that this dispatcher delivered.',
    labels: ['destination'],
  },
  waybill_dispatcher_retries_total: {
    type: 'counter',
    help: 'Attempts of this dispatcher that failed and are made again.',
    labels: ['destination'],
  },
  waybill_dispatcher_dead_total: {
    type: 'counter',
    help: 'Deliveries that this dispatcher gave up.',
    labels: ['destination'],
  },
  waybill_dispatcher_lane_restarts_total: {
    type: 'counter',
    help: 'Times that a lane of this dispatcher ended with an error and started again from what is stored.',
    labels: ['destination'],
  },
  waybill_dispatcher_pauses_total: {
    type: 'counter',
    help: 'Times that a lane of this dispatcher paused.',
    labels: ['destination', 'kind'],
  },
} as const satisfies Record<string, MetricDefinition>

export type MetricName = keyof typeof metricDefinitions

export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>
  readonly value: number
}

/** Collects samples, and writes them as text, families in the order of the definitions. */
export class MetricsPage {
  readonly #samples = new Map<MetricName, Sample[]>()

  add(name: MetricName, value: number | boolean, labels: Readonly<Record<string, string | number>> = {}): void {
    const samples = this.#samples.get(name) ?? []
    samples.push({ labels, value: Number(value) })
    this.#samples.set(name, samples)
  }

  /** A family without a sample is left out. */
  text(): string {
    const lines: string[] = []
    for (const [name, definition] of Object.entries(metricDefinitions) as [MetricName, MetricDefinition][]) {
      const samples = this.#samples.get(name)
      if (samples === undefined) continue
      lines.push(`# HELP ${name} ${escapeHelp(definition.help)}`, `# TYPE ${name} ${definition.type}`)
      for (const sample of samples) lines.push(`${name}${labelText(sample.labels)} ${numberText(sample.value)}`)
    }
    return `${lines.join('\n')}\n`
  }
}

function labelText(labels: Sample['labels']): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(String(value))}"`)
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function escapeHelp(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')
}

function numberText(value: number): string {
  if (Number.isFinite(value)) return String(value)
  return Number.isNaN(value) ? 'NaN' : value > 0 ? '+Inf' : '-Inf'
}
