import { checkNames, checkWait, unknownOptions } from '../config/check-members.js'
import { InputError, type Problem } from '../core/errors.js'
import { shapeOf } from '../core/shape.js'
import { queueOptionNames } from '../queue-facade/queue-options.js'
import type { Logger } from '../telemetry/logger.js'
import type { WaybillDispatcherOptions, WaybillModuleOptions, WaybillWorkerOptions } from './options.js'

const moduleNames = [...queueOptionNames, 'dispatcher', 'worker', 'logger']
const dispatcherNames: Readonly<Record<keyof WaybillDispatcherOptions, true>> = {
  config: true,
  drainMs: true,
  hooks: true,
}
const workerNames: Readonly<Record<keyof WaybillWorkerOptions, true>> = {
  queues: true,
  leaseMs: true,
  pollMs: true,
  listenUrl: true,
  backoff: true,
  retentionMs: true,
  name: true,
  drainMs: true,
  abortMs: true,
}

/** The options as they are. Throws an `InputError` that lists what is wrong with those that are the module's own. */
export function checkModuleOptions(given: unknown): WaybillModuleOptions {
  const problems: Problem[] = []
  const options = membersOf(given, '', moduleNames, problems)
  const { dispatcher, worker, logger, pool, connectionString } = options
  if (dispatcher !== undefined) {
    const { drainMs } = membersOf(dispatcher, 'dispatcher', Object.keys(dispatcherNames), problems)
    checkWait(drainMs, 'dispatcher.drainMs', problems)
  }
  if (worker !== undefined) {
    const { drainMs, abortMs } = membersOf(worker, 'worker', Object.keys(workerNames), problems)
    checkWait(drainMs, 'worker.drainMs', problems)
    checkWait(abortMs, 'worker.abortMs', problems)
    if (pool === undefined && connectionString === undefined)
      problems.push({ path: 'worker', message: 'needs a database; give the module a pool or a connectionString' })
  }
  if (logger !== undefined && !isLogger(logger)) {
    const message = `is ${shapeOf(logger)}; give a pino logger (with nestjs-pino, the "logger" of its PinoLogger), or leave it out for Nest's own`
    problems.push({ path: 'logger', message })
  }
  if (problems.length > 0)
    throw new InputError('WAYBILL_NESTJS_INVALID', 'the options of WaybillModule are not valid:', problems)
  return options
}

function membersOf(
  given: unknown,
  path: string,
  known: readonly string[],
  problems: Problem[],
): Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null) {
    const message = `${path === '' ? 'are' : 'is'} ${shapeOf(given)}; give an object`
    problems.push({ path, message })
    return {}
  }
  if (path !== '') checkNames(given, path, known, problems)
  else
    for (const { name, message } of unknownOptions(given, known)) {
      const beside = name === 'isGlobal' || name === 'name'
      const remedy = 'goes beside useFactory, useClass or useExisting, not into what they make'
      problems.push({ path: name, message: beside ? remedy : message })
    }
  return given as Readonly<Record<string, unknown>>
}

function isLogger(value: unknown): value is Logger {
  return typeof (value as Partial<Logger> | null)?.child === 'function'
}
