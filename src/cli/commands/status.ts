import { setTimeout as sleep } from 'node:timers/promises'
import type { LaneReport } from '../../app/inspect.js'
import { defineCommand, option } from '../command.js'
import { type Column, formatDuration } from '../output.js'
import { requireDestination } from '../require-destination.js'

export const laneColumns: readonly Column<LaneReport>[] = [
  { title: 'lane', value: (lane) => (lane.shards === 1 ? lane.destination : `${lane.destination}/${lane.shard}`) },
  { title: 'state', value: (lane) => lane.condition },
  { title: 'lag', value: (lane) => lane.lagMessages, align: 'right' },
  { title: 'behind', value: (lane) => formatDuration(lane.lagSeconds * 1000), align: 'right' },
  { title: 'rate/s', value: (lane) => (lane.rate === null ? null : Math.round(lane.rate)), align: 'right' },
  { title: 'retrying', value: (lane) => lane.retrying + lane.inFlight, align: 'right' },
  { title: 'held', value: (lane) => lane.held, align: 'right' },
  { title: 'keys', value: (lane) => lane.heldKeys, align: 'right' },
  { title: 'dead', value: (lane) => lane.dead, align: 'right' },
  { title: 'dispatcher', value: (lane) => lane.dispatcher },
  { title: 'why', value: (lane) => lane.why },
]

/** Of jobs that wait, so many at most. */
const maxNames = 20

/** `waybill status`: where each lane stands. */
export const register = defineCommand({
  name: 'status',
  summary: 'Show where each lane stands: lag, rate, state and why',
  description: [
    '  lag     sequence numbers between the lane and the tip of the log: an upper',
    '          bound of what it has to deliver',
    '  behind  age of the first message behind its cursor, of any topic; a lane that',
    '          wants little stores where it stands every 5 s, so up to 5 s',
    '          means nothing',
    '  rate    deliveries a second over the last minute',
    '  keys    keys whose later messages wait (held) behind one that failed',
    '',
    'Below: scheduled messages that are due and not in the log; jobs that are due and wait,',
    'as no live worker has a handler for their name.',
  ].join('\n'),
  options: {
    destination: option.text({ summary: 'only its lanes', value: 'name' }),
    watch: option.flag({ summary: 'show again and again, until interrupted' }),
    every: option.duration({ summary: 'with --watch: how often', default: 2000 }),
  },
  async run({ schema, out, io }, _args, { destination, watch, every }) {
    const { describeOverdue, describeUnhandled, listLanes, listUnhandledJobs, scheduledOverdue } =
      await import('../../app/inspect.js')
    const pool = await schema()
    if (destination !== undefined) await requireDestination(pool, destination)
    for (;;) {
      const lanes = await listLanes(pool, destination)
      const waiting = out.json || destination !== undefined ? [] : (await listUnhandledJobs(pool)).slice(0, maxNames)
      const overdue = out.json || destination !== undefined ? null : await scheduledOverdue(pool)
      const tellWaiting = (): void => {
        if (overdue !== null) out.note(describeOverdue(overdue))
        waiting.forEach((jobs) => out.note(describeUnhandled(jobs)))
      }
      if (!watch) {
        out.table(lanes, laneColumns, 'no lanes: nothing has been deployed yet')
        return tellWaiting()
      }
      out.note(`${new Date().toISOString()}`)
      if (out.json) out.item({ at: new Date(), lanes }, '')
      else out.table(lanes, laneColumns, 'no lanes: nothing has been deployed yet')
      tellWaiting()
      out.note('')
      await sleep(every, undefined, { signal: io.signal }).catch(() => undefined)
      if (io.signal.aborted) return
    }
  },
})
