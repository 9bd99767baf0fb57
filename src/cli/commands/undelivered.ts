import type { ParkedDelivery, PendingMessage } from '../../app/inspect.js'
import { parkedStates } from '../../core/parked-state.js'
import { defineCommand, type ExitCode, option } from '../command.js'
import { type Column, formatCount, formatDuration, renderTable } from '../output.js'
import { requireDestination } from '../require-destination.js'

type Row = PendingMessage | ParkedDelivery

const columns: readonly Column<Row>[] = [
  { title: 'destination', value: (row) => row.destination },
  { title: 'state', value: (row) => row.state },
  { title: 'messages', value: (row) => ('messages' in row ? row.messages : 1), align: 'right' },
  { title: 'for', value: (row) => formatDuration(Date.now() - row.since.getTime()), align: 'right' },
  { title: 'id', value: (row) => row.id },
  { title: 'topic', value: (row) => row.topic },
  { title: 'key', value: (row) => row.key },
  { title: 'attempt', value: (row) => ('attempt' in row ? row.attempt : null), align: 'right' },
  { title: 'why', value: (row) => row.error ?? row.errorCode },
]

/** `waybill undelivered`: what has not reached where, and why. */
export const register = defineCommand({
  name: 'undelivered',
  summary: 'List what has not reached where, and why',
  description: [
    'Quick however far behind a lane is. Exits with 1 where messages lie in the log and',
    'no destination is deployed (undeployed): then nothing is delivered, and no lane',
    'can tell of it.',
    '',
    '  pending    the first message before the cursor of a lane that is behind;',
    '             "messages" is an upper bound of how many there are',
    '  retrying   failed, will be tried again',
    '  held       waits behind one of its key',
    '  dead       given up: retry or drop it',
    '  in_flight  sent long ago and not answered yet',
  ].join('\n'),
  options: {
    destination: option.text({ summary: 'only of this destination', value: 'name' }),
    topic: option.text({ summary: 'only of this topic' }),
    key: option.text({ summary: 'only with this key' }),
    state: option.choice(['pending', ...parkedStates], { summary: 'only in this state' }),
    fingerprint: option.text({ summary: 'only failures of this group' }),
    groups: option.flag({ summary: 'count parked deliveries by destination, state and fingerprint instead' }),
    limit: option.number({ summary: 'parked deliveries at most', min: 1, max: 10_000, default: 100 }),
  },
  async run({ schema, out }, _args, { state, limit, groups, ...filter }): Promise<ExitCode> {
    const { countParked, listParked, listPending } = await import('../../app/inspect.js')
    const pool = await schema()
    if (filter.destination !== undefined) await requireDestination(pool, filter.destination)
    const parkedOnly = groups || filter.fingerprint !== undefined || (state !== undefined && state !== 'pending')
    const pending = parkedOnly ? [] : await listPending(pool, filter)
    const chosen = { ...filter, state: state === 'pending' ? undefined : state }
    const counts = state === 'pending' ? [] : await countParked(pool, chosen)
    if (groups) {
      out.table(counts, [
        { title: 'destination', value: (row) => row.destination },
        { title: 'state', value: (row) => row.state },
        { title: 'messages', value: (row) => row.n, align: 'right' },
        { title: 'fingerprint', value: (row) => row.fingerprint },
      ])
      return 0
    }
    const parked = state === 'pending' ? [] : await listParked(pool, chosen, limit)
    const total = counts.reduce((sum, { n }) => sum + n, 0)
    const rows: Row[] = [...pending, ...parked]
    const more = total - parked.length
    const narrowed = state !== undefined || Object.values(filter).some((value) => value !== undefined)
    const nothing = narrowed ? 'nothing that fits is undelivered' : 'nothing is undelivered'
    const text = rows.length === 0 ? nothing : renderTable(rows, columns)
    const rest = more > 0 ? `\n… and ${formatCount(more)} more that are parked (--limit, --groups)` : ''
    out.value({ pending, parked, counts }, `${text}${rest}`)
    const undeployed = pending.find((row) => row.state === 'undeployed')
    if (!undeployed) return 0
    out.note(
      `no destination is deployed: up to ${formatCount(undeployed.messages)} messages lie in the log and go nowhere; run: waybill dispatch, with a configuration`,
    )
    return 1
  },
})
