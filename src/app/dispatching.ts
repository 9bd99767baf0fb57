/** Running a dispatcher, for the command line. */
export { createDispatcher, type DispatcherService } from './create-dispatcher.js'
export { DispatchCounters } from './dispatch-counters.js'
export { startHealthServer } from './health-server.js'
export { isClean, passOnce, type RunReport, runUntilEmpty } from './run-to-end.js'
export { createLogger } from '../telemetry/logger.js'
export { waitForDatabase } from './wait-for-database.js'
