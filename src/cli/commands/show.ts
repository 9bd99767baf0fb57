import type { ShownMessage } from '../../app/inspect.js'
import { WaybillError } from '../../core/errors.js'
import { argument, defineCommand, option } from '../command.js'
import { requireUuid } from '../delivery-filter.js'
import { formatCount, formatDuration, printable, renderTable } from '../output.js'

/** `waybill show`: one message. */
export const register = defineCommand({
  name: 'show',
  summary: 'Show one message: where it is, where it went, every attempt',
  description: [
    'What the first attempt delivers leaves no row behind, only a receipt where the destination keeps them. Then',
    '"delivered (position)" says that the lane has passed it.',
    'skipped: published before the destination began. unknown: so long ago that it is no longer stored which.',
  ].join('\n'),
  arguments: { id: argument.text('id of the message') },
  options: { payload: option.flag({ summary: 'payload and headers too' }) },
  async run({ schema, out }, { id }, { payload }) {
    requireUuid(id)
    const { showMessage } = await import('../../app/inspect.js')
    const message = await showMessage(await schema(), id, { withPayload: payload })
    if (!message) {
      throw new WaybillError(
        'WAYBILL_NOT_FOUND',
        `no message ${id}: it was never committed here, or is past retention and left no attempt or receipt`,
      )
    }
    out.value(message, textOf(message))
  },
})

const places = {
  log: 'in the log',
  scheduled: 'scheduled',
  gone: 'past retention: only attempts and receipts are left',
} as const

function textOf(message: ShownMessage): string {
  const { id, place, seq, topic, key, named, createdAt, runAt, payload, headers } = message
  const fields: [string, string | null][] = [
    ['id', id],
    ['topic', topic],
    ['key', key],
    ['place', runAt === null ? places[place] : `${places[place]} for ${runAt.toISOString()}`],
    ['seq', seq === null ? null : formatCount(seq)],
    [
      'published',
      createdAt === null
        ? null
        : `${createdAt.toISOString()} (${formatDuration(Date.now() - createdAt.getTime())} ago)`,
    ],
    ['named', named === null ? null : named.join(', ')],
    ['headers', headers ?? null],
    ['payload', payload ?? null],
  ]
  const head = fields.flatMap(([name, value]) => (value === null ? [] : [`${name}: ${printable(value)}`]))
  return [...head, ...destinationsText(message)].join('\n')
}

function destinationsText({ destinations, place }: ShownMessage): string[] {
  if (destinations.length === 0) return place === 'scheduled' ? [] : ['no destination wants it']
  const states = renderTable(destinations, [
    { title: 'destination', value: (row) => row.destination },
    { title: 'state', value: (row) => `${row.state} (${row.basis})` },
    { title: 'next attempt', value: (row) => row.parked?.nextAttemptAt },
    { title: 'why', value: (row) => row.parked?.error },
  ])
  const events = destinations
    .flatMap((row) => [
      ...row.attempts.map((attempt) => ({ ...attempt, text: attempt.message ?? attempt.code })),
      ...row.receipts.map((receipt) => ({ ...receipt, outcome: 'receipt', text: JSON.stringify(receipt.receipt) })),
    ])
    .sort((a, b) => a.at.getTime() - b.at.getTime())
  if (events.length === 0) return ['', states]
  const history = renderTable(events, [
    { title: 'at', value: (row) => row.at },
    { title: 'destination', value: (row) => row.destination },
    { title: 'attempt', value: (row) => row.attempt, align: 'right' },
    { title: 'outcome', value: (row) => row.outcome },
    { title: 'ms', value: (row) => row.durationMs, align: 'right' },
    { title: 'answer', value: (row) => row.text },
  ])
  return ['', states, '', history]
}
