/** One pass of maintenance, for the command line. */
export { type MaintenanceReport, runMaintenance } from '../outbox/retention/index.js'
