import { WaybillError } from '../../core/errors.js'
import { argument, defineCommand, type ExitCode, option } from '../command.js'
import { actorOf } from '../delivery-filter.js'
import { formatCount } from '../output.js'
import { requireDestination } from '../require-destination.js'

/** `waybill destinations remove`: ends a destination for good. */
export const register = defineCommand({
  name: 'destinations remove',
  summary: 'Remove a destination with all that it has not delivered',
  description: [
    'Without --yes it only says what would be lost, and exits with 1. Take the destination out of the configuration and',
    'deploy that first: a dispatcher that starts with it makes it anew. Attempts and receipts stay. Audited.',
  ].join('\n'),
  arguments: { name: argument.text('name of the destination') },
  options: {
    yes: option.flag({ summary: 'do it' }),
    reason: option.text({ summary: 'why, for waybill.audit' }),
    actor: option.text({ summary: 'on whose behalf, for waybill.audit (default: the variable USER)', value: 'name' }),
  },
  async run(ctx, { name }, { yes, reason, actor }): Promise<ExitCode> {
    const { out, io } = ctx
    const { listDestinations } = await import('../../app/inspect.js')
    const pool = await ctx.schema()
    await requireDestination(pool, name)
    const before = (await listDestinations(pool)).find((destination) => destination.name === name)
    if (!before) throw gone(name)
    const { lagMessages, retrying, held, dead, lanes, configured } = before
    const loss = { lagMessages, retrying, held, dead, lanes, configured }
    const text = `up to ${formatCount(lagMessages)} messages before its cursor, ${formatCount(retrying + held + dead)} parked deliveries (${formatCount(retrying)} retrying, ${formatCount(held)} held, ${formatCount(dead)} dead), ${formatCount(lanes)} lanes`
    if (configured) {
      io.stderr.write(
        `${name} is still configured: a dispatcher that starts with this configuration makes it anew, from the tip of the log\n`,
      )
    }
    if (!yes) {
      out.value(
        { removed: false, name, loss },
        `would remove ${name}: ${text}\nnothing was changed; say --yes to do it`,
      )
      return 1
    }
    const { removeDestination } = await import('../../app/operate.js')
    const removed = await removeDestination(pool, name, { actor: actorOf(ctx, actor), reason })
    if (!removed) throw gone(name)
    out.value({ removed: true, name, loss, dropped: removed.dropped }, `removed ${name}: ${text}`)
    return 0
  },
})

function gone(name: string): WaybillError {
  return new WaybillError('WAYBILL_NOT_FOUND', `destination ${JSON.stringify(name)} was removed meanwhile`)
}
