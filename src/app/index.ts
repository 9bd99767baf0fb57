/** `waybill/dispatcher`: run a dispatcher, in a process of its own or inside an application. */
export { createDispatcher, type CreateDispatcherOptions, type DispatcherService } from './create-dispatcher.js'
export { type DispatcherHooks, type LaneName, type MessageName } from '../dispatcher/hooks.js'
export { type Logger } from '../telemetry/logger.js'
