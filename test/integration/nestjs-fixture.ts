import { Module, type INestApplication, type LoggerService, type ModuleMetadata } from '@nestjs/common'
import { Test } from '@nestjs/testing'
import { onTestFinished } from 'vitest'

const silent: LoggerService = { log: () => undefined, warn: () => undefined, error: () => undefined }

/** An application that has started, and is closed when the test ends. */
export async function startApp(metadata: ModuleMetadata, logger = silent): Promise<INestApplication> {
  const app = await createApp(metadata, logger)
  await app.init()
  return app
}

/** An application that has been put together, and is yours to start. */
export async function createApp(metadata: ModuleMetadata, logger = silent): Promise<INestApplication> {
  const testing = await Test.createTestingModule(metadata).setLogger(logger).compile()
  const app = testing.createNestApplication({ logger })
  onTestFinished(() => app.close())
  return app
}

/** A module of the application's own. */
export function moduleOf(metadata: ModuleMetadata): new () => object {
  @Module(metadata)
  class FeatureModule {}
  return FeatureModule
}
