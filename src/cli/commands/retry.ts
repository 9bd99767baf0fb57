import { argument, defineCommand, option } from '../command.js'
import { actorOf, choose, deliveryFilter, filterOptions, sampleText } from '../delivery-filter.js'
import { formatCount } from '../output.js'

/** `waybill retry`: parked deliveries are tried again now. */
export const register = defineCommand({
  name: 'retry',
  summary: 'Try parked deliveries again now, dead ones too',
  description: [
    'Their attempts start again from nothing. What is held waits for what is in front of it as before. Several choices',
    'must all fit. Audited.',
    '',
    '  waybill retry --destination crm --state dead --dry-run',
  ].join('\n'),
  arguments: { id: argument.optional('id of a message') },
  options: { ...filterOptions, reason: option.text({ summary: 'why, for waybill.audit' }) },
  async run(ctx, { id }, { reason, ...options }) {
    const filter = deliveryFilter(id, options)
    const { retryDeliveries } = await import('../../app/operate.js')
    const pool = await ctx.schema()
    const chosen = await choose(pool, filter)
    if (options.dryRun) {
      ctx.out.value({ dryRun: true, ...chosen }, `${sampleText(chosen)}\nwould retry ${formatCount(chosen.count)}`)
      return
    }
    const retried = await retryDeliveries(pool, filter, { actor: actorOf(ctx, options.actor), reason })
    ctx.out.value({ retried, ...chosen }, `${sampleText(chosen)}\nretried ${formatCount(retried)}`)
  },
})
