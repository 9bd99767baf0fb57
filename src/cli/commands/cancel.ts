import { WaybillError } from '../../core/errors.js'
import { argument, defineCommand } from '../command.js'
import { requireUuid } from '../delivery-filter.js'

/** `waybill cancel`: takes back a message for later. */
export const register = defineCommand({
  name: 'cancel',
  summary: 'Take back a message that was published for later and is not due yet',
  arguments: { id: argument.text('id of the message') },
  async run({ pool, out }, { id }) {
    requireUuid(id)
    const { Queue } = await import('../../app/publishing.js')
    const queue = new Queue({ pool: await pool() })
    if (!(await queue.cancel(id, { tx: null }))) {
      throw new WaybillError(
        'WAYBILL_NOT_FOUND',
        `no message ${id} is scheduled: it is in the log already, or was never there; "waybill show ${id}" tells`,
      )
    }
    out.value({ cancelled: id }, `cancelled ${id}`)
  },
})
