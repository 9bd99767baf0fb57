import type pg from 'pg'
import type { DeliveryCount, DeliveryFilter, ParkedDelivery } from '../app/inspect.js'
import { parkedStates } from '../core/parked-state.js'
import { WaybillError } from '../core/errors.js'
import { type CommandContext, option, usageError } from './command.js'
import { type Column, formatCount, renderTable } from './output.js'
import { requireDestination } from './require-destination.js'

/** The options by which `retry` and `drop` choose, and the ways to say "all of them" and "none yet". */
export const filterOptions = {
  destination: option.text({ summary: 'only of this destination', value: 'name' }),
  topic: option.text({ summary: 'only of this topic' }),
  key: option.text({ summary: 'only with this key' }),
  state: option.choice(parkedStates, { summary: 'only in this state' }),
  fingerprint: option.text({ summary: 'only failures of this group, as "undelivered" shows them' }),
  all: option.flag({ summary: 'everything that is parked, when nothing else is said' }),
  dryRun: option.flag({ summary: 'only say what would be done' }),
  actor: option.text({ summary: 'on whose behalf, for waybill.audit (default: the variable USER)', value: 'name' }),
}

interface Chosen extends DeliveryFilter {
  readonly all: boolean
  readonly dryRun: boolean
  readonly actor: string | undefined
}

/**
 * What was chosen. Refuses to take "nothing said" for "everything", and the other way round.
 * @throws WaybillError `WAYBILL_USAGE`
 */
export function deliveryFilter(id: string | undefined, options: Omit<Chosen, 'message'>): DeliveryFilter {
  const { destination, topic, key, state, fingerprint, all } = options
  const filter: DeliveryFilter = { message: id, destination, topic, key, state, fingerprint }
  const given = Object.values(filter).some((value) => value !== undefined)
  if (!given && !all)
    throw usageError('say which: an id, --destination, --topic, --key, --state, --fingerprint, or --all')
  if (given && all) throw usageError('--all goes with no other choice: what is given must fit already')
  if (id !== undefined) requireUuid(id)
  return filter
}

export function requireUuid(id: string): void {
  if (!/^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$/i.test(id))
    throw usageError(`${JSON.stringify(id)} is not the id of a message; give the uuid that publish printed`)
}

/** Of which `id` was not found: an error rather than "0 retried". */
export async function requireParked(pool: pg.Pool, filter: DeliveryFilter): Promise<void> {
  if (filter.destination !== undefined) await requireDestination(pool, filter.destination)
  const { listParked } = await import('../app/inspect.js')
  if (filter.message === undefined || (await listParked(pool, filter, 1)).length > 0) return
  throw new WaybillError(
    'WAYBILL_NOT_FOUND',
    `no delivery of message ${filter.message} that could be acted upon fits; "waybill show ${filter.message}" says where it is`,
  )
}

export const parkedColumns: readonly Column<ParkedDelivery>[] = [
  { title: 'destination', value: (row) => row.destination },
  { title: 'state', value: (row) => row.state },
  { title: 'id', value: (row) => row.id },
  { title: 'topic', value: (row) => row.topic },
  { title: 'key', value: (row) => row.key },
  { title: 'attempt', value: (row) => row.attempt, align: 'right' },
  { title: 'error', value: (row) => row.error ?? row.errorCode },
]

/** Rows that are shown of what is acted upon. */
const sampleRows = 10

/** What an act is about: the numbers, and the first few. */
export interface ChosenDeliveries {
  readonly count: number
  readonly counts: readonly DeliveryCount[]
  readonly sample: readonly ParkedDelivery[]
}

export async function choose(pool: pg.Pool, filter: DeliveryFilter): Promise<ChosenDeliveries> {
  await requireParked(pool, filter)
  const { countParked, listParked } = await import('../app/inspect.js')
  const counts = await countParked(pool, filter)
  const count = counts.reduce((sum, { n }) => sum + n, 0)
  return { count, counts, sample: await listParked(pool, filter, sampleRows) }
}

/** What a drop is about: parked deliveries, and destinations whose lanes have not passed the message yet. */
export interface DroppedDeliveries extends ChosenDeliveries {
  readonly ahead: readonly string[]
}

/** As `choose`; an id may name a message that is not parked, where lanes have still to send it. */
export async function chooseOrAhead(pool: pg.Pool, filter: DeliveryFilter): Promise<DroppedDeliveries> {
  const { message, destination, ...rest } = filter
  const byId = message !== undefined && Object.values(rest).every((value) => value === undefined)
  if (!byId) return { ...(await choose(pool, filter)), ahead: [] }
  if (destination !== undefined) await requireDestination(pool, destination)
  const { listAhead } = await import('../app/inspect.js')
  const ahead = await listAhead(pool, message, destination)
  if (ahead.length === 0) return { ...(await choose(pool, filter)), ahead }
  const { countParked, listParked } = await import('../app/inspect.js')
  const counts = await countParked(pool, filter)
  const parked = counts.reduce((sum, { n }) => sum + n, 0)
  return { count: parked + ahead.length, counts, sample: await listParked(pool, filter, sampleRows), ahead }
}

/** The sample as a table, and how many more there are. */
export function sampleText({ count, sample }: ChosenDeliveries): string {
  if (sample.length === 0) return 'nothing fits'
  const more = count - sample.length
  const table = renderTable(sample, parkedColumns)
  return more > 0 ? `${table}\n… and ${formatCount(more)} more` : table
}

export function actorOf({ io }: CommandContext, given: string | undefined): string | undefined {
  return given ?? (io.env['USER'] || undefined)
}
