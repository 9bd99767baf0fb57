/** What operators do to deliveries and destinations, for the command line. */
export { type Act, dropDeliveries, removeDestination, retryDeliveries } from '../outbox/inspect/act.js'
