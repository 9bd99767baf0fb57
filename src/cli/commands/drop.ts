import { argument, defineCommand, option } from '../command.js'
import {
  type DroppedDeliveries,
  actorOf,
  chooseOrAhead,
  deliveryFilter,
  filterOptions,
  sampleText,
} from '../delivery-filter.js'
import { formatCount } from '../output.js'

/** `waybill drop`: deliveries are given up. */
export const register = defineCommand({
  name: 'drop',
  summary: 'Give deliveries up: they are never sent',
  description: [
    'What they held back goes on. The messages stay in the log; an attempt of outcome "dropped" tells of each. Several',
    'choices must all fit. Audited, so a reason is asked for.',
    '',
    'An id, with or without --destination, also gets a lane past a message that is not parked: one that a paused lane',
    'stands in front of, or that it has not read yet. If it is under way at that moment it may still arrive.',
    '',
    '  waybill drop 01976d2e-… --destination crm --reason "order was cancelled"',
  ].join('\n'),
  arguments: { id: argument.optional('id of a message') },
  options: { ...filterOptions, reason: option.text({ summary: 'why, for waybill.audit', required: true }) },
  async run(ctx, { id }, { reason, ...options }) {
    const filter = deliveryFilter(id, options)
    const { dropDeliveries } = await import('../../app/operate.js')
    const pool = await ctx.schema()
    const chosen = await chooseOrAhead(pool, filter)
    if (options.dryRun) {
      ctx.out.value({ dryRun: true, ...chosen }, `${textOf(chosen)}\nwould drop ${formatCount(chosen.count)}`)
      return
    }
    const dropped = await dropDeliveries(pool, filter, { actor: actorOf(ctx, options.actor), reason })
    ctx.out.value({ dropped, ...chosen }, `${textOf(chosen)}\ndropped ${formatCount(dropped)}`)
  },
})

function textOf(chosen: DroppedDeliveries): string {
  const ahead = chosen.ahead.map((destination) => `not sent yet to ${destination}`)
  return [...(chosen.sample.length > 0 || ahead.length === 0 ? [sampleText(chosen)] : []), ...ahead].join('\n')
}
