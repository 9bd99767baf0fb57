import { Logger } from '@nestjs/common'
import { afterEach, expect, it, vi } from 'vitest'
import { WaybillError } from '../../src/core/errors.js'
import { nestLogger } from '../../src/nestjs/nest-logger.js'

afterEach(() => vi.restoreAllMocks())

it('writes a line of each level through Nest, with its fields as JSON and the stack of an error', () => {
  const lines: unknown[][] = []
  for (const level of ['debug', 'log', 'warn', 'error'] as const) {
    vi.spyOn(Logger.prototype, level).mockImplementation((...line: unknown[]) => void lines.push([level, ...line]))
  }
  const logger = nestLogger('Waybill').child({ destination: 'crm' })
  const err = new WaybillError('WAYBILL_JOB_FAILED', 'no')
  logger.debug({ seq: 9007199254740993n }, 'read')
  logger.info({}, 'started')
  logger.warn({ err }, 'an idle connection was lost')
  logger.error({ err }, 'could not stop cleanly')
  nestLogger('Waybill').info({}, 'alone')
  nestLogger('Waybill').info({ n: 1 })
  const failure = '{"code":"WAYBILL_JOB_FAILED","message":"no"}'
  expect(lines).toEqual([
    ['debug', 'read {"destination":"crm","seq":"9007199254740993"}'],
    ['log', 'started {"destination":"crm"}'],
    ['warn', `an idle connection was lost {"destination":"crm","err":${failure}}`],
    ['error', `could not stop cleanly {"destination":"crm","err":${failure}}`, err.stack],
    ['log', 'alone'],
    ['log', '{"n":1}'],
  ])
})
