import { pino, stdTimeFunctions, type DestinationStream } from 'pino'
import { callListener } from '../core/call-listener.js'
import { messageOf } from '../core/errors.js'

/** The least of a pino logger that Waybill uses, so that pino or anything alike can be passed in. */
export interface Logger {
  debug(fields: object, message?: string): void
  info(fields: object, message?: string): void
  warn(fields: object, message?: string): void
  error(fields: object, message?: string): void
  /** A logger that adds `fields` to every line. */
  child(fields: Record<string, unknown>): Logger
}

export interface LoggerOptions {
  /** Least severe level that is written. Default `info`. */
  readonly level?: 'debug' | 'info' | 'warn' | 'error' | 'silent' | undefined
  /** Where lines go. Default: standard output. */
  readonly destination?: DestinationStream | undefined
}

const hiddenNames = [
  'password',
  'passphrase',
  'secret',
  'secrets',
  'token',
  'authorization',
  'cookie',
  'url',
  'directUrl',
  'connectionString',
  'payload',
]

/** At the top, and one and two levels below: as deep as any line of ours goes. */
const hiddenPaths = hiddenNames.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])

/**
 * JSON lines with ISO times and `service: "waybill"`. Fields called like a secret, a URL or a payload are written as
 * `[redacted]`: a second line of defence, since no line of Waybill's has them.
 */
export function createLogger({ level = 'info', destination }: LoggerOptions = {}): Logger {
  const options = {
    level,
    base: { service: 'waybill' },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    redact: { paths: hiddenPaths, censor: '[redacted]' },
  }
  return destination ? pino(options, destination) : pino(options)
}

const nothing = (): void => undefined

/** Writes nothing: for tests, and for applications that want no log. */
export const silentLogger: Logger = {
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  child: () => silentLogger,
}

/** What an application may give: `child` may be missing, as the console's is. */
export type GivenLogger = Omit<Logger, 'child'> & Partial<Pick<Logger, 'child'>>

const levels = ['debug', 'info', 'warn', 'error'] as const

/**
 * An application's logger, as the rest of Waybill may use it: no method of it throws, whatever the application's does. That it
 * did is said once, as a warning of the process (`WAYBILL_LOGGER_FAILED`).
 */
export function guardLogger(given: GivenLogger): Logger {
  let told = false
  return guarded(given, {}, (error) => {
    if (told) return
    told = true
    process.emitWarning(
      `the logger that Waybill was given fails, and its lines are lost: ${messageOf(error).slice(0, 1000)}`,
      {
        code: 'WAYBILL_LOGGER_FAILED',
      },
    )
  })
}

function guarded(given: GivenLogger, fields: Record<string, unknown>, failed: (error: unknown) => void): Logger {
  const line =
    (level: (typeof levels)[number]) =>
    (own: object, message?: string): void =>
      callListener(() => given[level]({ ...fields, ...own }, message), failed)
  const [debug, info, warn, error] = levels.map(line) as [Line, Line, Line, Line]
  const child = (more: Record<string, unknown>): Logger => {
    let own: Logger | undefined
    callListener(() => (own = given.child?.(more)), failed)
    const made: unknown = own
    return typeof made === 'object' && made !== null
      ? guarded(made as Logger, {}, failed)
      : guarded(given, { ...fields, ...more }, failed)
  }
  return { debug, info, warn, error, child }
}

type Line = Logger['info']
