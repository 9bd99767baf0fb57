import type { DispatcherService } from '../app/create-dispatcher.js'
import type { ResolvedConfig, WaybillConfig } from '../config/index.js'
import type { Logger } from '../telemetry/logger.js'
import type { WaybillModuleOptions } from './options.js'

/** The dispatcher that the options ask for, not started; loads it only then. */
export async function makeDispatcher(
  { dispatcher, connectionString }: WaybillModuleOptions,
  logger: Logger,
): Promise<DispatcherService | undefined> {
  if (dispatcher === undefined) return undefined
  const { createDispatcher } = await import('../app/create-dispatcher.js')
  const config = dispatcher.config ?? (await (await import('../config/load.js')).loadConfig())
  const hooks = dispatcher.hooks === undefined ? {} : { hooks: dispatcher.hooks }
  return createDispatcher(withDatabase(config, connectionString), { logger, ...hooks })
}

function withDatabase(config: WaybillConfig | ResolvedConfig, url: string | undefined): WaybillConfig | ResolvedConfig {
  if (url === undefined || config.database?.url !== undefined) return config
  return { ...config, database: { ...config.database, url } } as WaybillConfig
}
