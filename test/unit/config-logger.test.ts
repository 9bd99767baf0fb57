import { describe, expect, it } from 'vitest'
import { createLogger, silentLogger } from '../../src/telemetry/logger.js'

function capture(level?: 'debug' | 'warn' | 'silent') {
  const lines: Record<string, unknown>[] = []
  const destination = { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) }
  return { lines, logger: createLogger({ level, destination }) }
}

describe('createLogger', () => {
  it('writes ISO times, the level as a word, the service, and a child’s fields', () => {
    const { lines, logger } = capture()
    logger.child({ lane: 'crm/0' }).info({ count: 3 }, 'drained')
    expect(lines).toEqual([
      {
        level: 'info',
        time: expect.stringMatching(/^\d{4}-.*Z$/) as string,
        service: 'waybill',
        lane: 'crm/0',
        count: 3,
        msg: 'drained',
      },
    ])
  })

  it('writes nothing below its level', () => {
    const { lines, logger } = capture('warn')
    logger.info({}, 'no')
    logger.warn({}, 'yes')
    const silent = capture('silent')
    silent.logger.error({}, 'no')
    silentLogger.child({ a: 1 }).error({}, 'no')
    expect([lines.length, silent.lines.length]).toEqual([1, 0])
  })

  it('hides fields that are called like a secret, at the top and two levels down', () => {
    const { lines, logger } = capture()
    logger.info({
      password: 'hunter2',
      a: { token: 'hunter2', b: { authorization: 'hunter2' } },
      payload: { card: 'hunter2' },
    })
    expect(lines).toHaveLength(1)
    expect(JSON.stringify(lines)).not.toContain('hunter2')
  })
})
