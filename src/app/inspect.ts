/** Looking at what is there, for the command line and the health server. */
export { describeUnhandled, listUnhandledJobs, type UnhandledJobs } from '../jobs/unhandled-jobs.js'
export { listLanes, type LaneCondition, type LaneReport } from '../outbox/inspect/lane-list.js'
export { listAhead } from '../outbox/inspect/ahead.js'
export { destinationNames, type DestinationReport, listDestinations } from '../outbox/inspect/destination-list.js'
export {
  countParked,
  type DeliveryCount,
  type DeliveryFilter,
  listParked,
  listPending,
  type ParkedDelivery,
  type PendingMessage,
} from '../outbox/inspect/delivery-list.js'
export { describeOverdue, scheduledOverdue } from '../outbox/inspect/scheduled-overdue.js'
export { showMessage, type ShownMessage } from './show-message.js'
