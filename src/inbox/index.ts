/** The subpath `waybill/inbox`: a receiver's effect once for each message id. Loads no driver and no ORM. */
export { InputError, WaybillError } from '../core/errors.js'
export { Inbox, type OnceOutcome } from './inbox.js'
export { type InboxOptions, type OnceOptions } from './options.js'
export { type Transaction } from '../transactions/transaction.js'
