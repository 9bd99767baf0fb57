import { Logger as NestLogger } from '@nestjs/common'
import { codeOf, messageOf } from '../core/errors.js'
import type { Logger } from '../telemetry/logger.js'

/** Writes through the logger of the application, one text for each line: Nest's loggers have no fields. */
export function nestLogger(context: string, fields: Readonly<Record<string, unknown>> = {}): Logger {
  const nest = new NestLogger(context)
  const text = (own: object, message = ''): string => {
    const all = Object.entries({ ...fields, ...own }).map(([name, value]) => [name, plain(value)] as const)
    return all.length === 0 ? message : `${message} ${JSON.stringify(Object.fromEntries(all))}`.trimStart()
  }
  return {
    debug: (own, message) => nest.debug(text(own, message)),
    info: (own, message) => nest.log(text(own, message)),
    warn: (own, message) => nest.warn(text(own, message)),
    error: (own, message) => nest.error(text(own, message), (own as { err?: { stack?: unknown } }).err?.stack),
    child: (more) => nestLogger(context, { ...fields, ...more }),
  }
}

function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return String(value)
  return value instanceof Error ? { code: codeOf(value), message: messageOf(value) } : value
}
