import { describeOverdue, scheduledOverdue } from '../../outbox/inspect/scheduled-overdue.js'
import { type Check, error, ok } from './finding.js'

/** Messages whose time has come, and that no dispatcher moves into the log. */
export const scheduledCheck: Check = {
  name: 'scheduled',
  needsSchema: true,
  async run({ pool }) {
    const overdue = await scheduledOverdue(pool)
    if (overdue === null) return [ok('no scheduled message is overdue')]
    return [
      error(
        describeOverdue(overdue),
        'none of them is delivered',
        'start a dispatcher; where one is alive its log says why it can not move them, and so does: select waybill.stage_scheduled(1)',
      ),
    ]
  },
}
