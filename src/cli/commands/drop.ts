import { argument, defineCommand, option } from '../command.js'
import { actorOf, choose, deliveryFilter, filterOptions, sampleText } from '../delivery-filter.js'
import { formatCount } from '../output.js'

/** `waybill drop`: parked deliveries are given up. */
export const register = defineCommand({
  name: 'drop',
  summary: 'Give parked deliveries up: they are never sent',
  description: [
    'What they held back goes on. The messages stay in the log; an attempt of outcome "dropped" tells of each. Several',
    'choices must all fit. Audited, so a reason is asked for.',
    '',
    '  waybill drop 01976d2e-… --destination crm --reason "order was cancelled"',
  ].join('\n'),
  arguments: { id: argument.optional('id of a message') },
  options: { ...filterOptions, reason: option.text({ summary: 'why, for waybill.audit', required: true }) },
  async run(ctx, { id }, { reason, ...options }) {
    const filter = deliveryFilter(id, options)
    const { dropDeliveries } = await import('../../app/operate.js')
    const pool = await ctx.schema()
    const chosen = await choose(pool, filter)
    if (options.dryRun) {
      ctx.out.value({ dryRun: true, ...chosen }, `${sampleText(chosen)}\nwould drop ${formatCount(chosen.count)}`)
      return
    }
    const dropped = await dropDeliveries(pool, filter, { actor: actorOf(ctx, options.actor), reason })
    ctx.out.value({ dropped, ...chosen }, `${sampleText(chosen)}\ndropped ${formatCount(dropped)}`)
  },
})
