/**
 * The subpath `waybill/nestjs`: publishing, a dispatcher and the handlers of jobs as parts of a NestJS application. The
 * dispatcher and the worker are loaded only where they are configured: `export type` keeps it so.
 */
export { InputError, WaybillError } from '../core/errors.js'
export type { DispatcherService } from '../app/create-dispatcher.js'
export type { Job, JobContext } from '../jobs/types.js'
export { getDispatcherToken, getQueueToken, InjectDispatcher, InjectQueue } from './tokens.js'
export { WaybillModule } from './module.js'
export { OnMessage, type OnMessageOptions } from './on-message.js'
export type {
  WaybillDispatcherOptions,
  WaybillModuleAsyncOptions,
  WaybillModuleExtras,
  WaybillModuleOptions,
  WaybillOptionsFactory,
  WaybillPool,
  WaybillWorkerOptions,
} from './options.js'
