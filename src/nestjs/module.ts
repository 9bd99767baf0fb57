import { ConfigurableModuleBuilder, Module, type DynamicModule, type Provider } from '@nestjs/common'
import { DiscoveryModule, DiscoveryService, MetadataScanner } from '@nestjs/core'
import type { DispatcherService } from '../app/create-dispatcher.js'
import { InputError } from '../core/errors.js'
import { Queue } from '../queue-facade/queue.js'
import type { Logger } from '../telemetry/logger.js'
import { checkModuleOptions } from './check-options.js'
import { WaybillLifecycle } from './lifecycle.js'
import { makeDispatcher } from './make-dispatcher.js'
import { nestLogger } from './nest-logger.js'
import type { WaybillModuleAsyncOptions, WaybillModuleExtras, WaybillModuleOptions } from './options.js'
import { getDispatcherToken, getQueueToken } from './tokens.js'

const checkedOptions = Symbol('WaybillModule.options')
const logger = Symbol('WaybillModule.logger')

const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN } = new ConfigurableModuleBuilder<WaybillModuleOptions>()
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createWaybillOptions')
  .setExtras<WaybillModuleExtras>({ isGlobal: false, name: undefined }, withProviders)
  .build()

/**
 * Publishing, and where they are asked for a dispatcher and a worker, as parts of a NestJS application. Provides the class
 * `Queue`, closed when the application shuts down.
 */
@Module({})
export class WaybillModule extends ConfigurableModuleClass {
  /**
   * With options that are there now. They are checked when the application is created: an `InputError`
   * (`WAYBILL_NESTJS_INVALID`, `WAYBILL_PUBLISH_INVALID`, `WAYBILL_CONFIG_INVALID`) lists what is wrong.
   */
  static override forRoot(options: WaybillModuleOptions & WaybillModuleExtras): DynamicModule {
    return super.forRoot(options)
  }

  /** With options that are made from other providers: `useFactory` with `inject`, `useClass` or `useExisting`. */
  static override forRootAsync(options: WaybillModuleAsyncOptions): DynamicModule {
    if (!options.useFactory && !options.useClass && !options.useExisting) {
      throw new InputError('WAYBILL_NESTJS_INVALID', 'WaybillModule.forRootAsync has nothing to make options with:', [
        { path: '', message: 'give useFactory, useClass or useExisting' },
      ])
    }
    return super.forRootAsync(options)
  }
}

function withProviders(definition: DynamicModule, { isGlobal = false, name }: WaybillModuleExtras): DynamicModule {
  const queue = getQueueToken(name)
  const dispatcher = getDispatcherToken(name)
  const providers: Provider[] = [
    { provide: checkedOptions, useFactory: checkModuleOptions, inject: [MODULE_OPTIONS_TOKEN] },
    {
      provide: logger,
      useFactory: (options: WaybillModuleOptions) => options.logger ?? nestLogger('Waybill'),
      inject: [checkedOptions],
    },
    { provide: queue, useFactory: makeQueue, inject: [checkedOptions] },
    { provide: dispatcher, useFactory: makeDispatcher, inject: [checkedOptions, logger] },
    {
      provide: WaybillLifecycle,
      useFactory: (
        options: WaybillModuleOptions,
        queue: Queue,
        dispatcher: DispatcherService | undefined,
        logger: Logger,
        discovery: DiscoveryService,
        scanner: MetadataScanner,
      ) => new WaybillLifecycle({ name, options, queue, dispatcher, logger, discovery, scanner }),
      inject: [checkedOptions, queue, dispatcher, logger, DiscoveryService, MetadataScanner],
    },
  ]
  return {
    ...definition,
    global: isGlobal,
    imports: [...(definition.imports ?? []), DiscoveryModule],
    providers: [...(definition.providers ?? []), ...providers],
    exports: [queue, dispatcher],
  }
}

function makeQueue({
  dispatcher: _dispatcher,
  worker: _worker,
  logger: _logger,
  ...options
}: WaybillModuleOptions): Queue {
  return new Queue(options) as Queue
}
